import { rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { parseArgs } from "node:util";

/**
 * The application behind the gate: a small HTTP server on a UNIX socket, which the terminator alone can reach.
 * `GET /` answers one line. `GET /whoami` answers what the gate says of the device. `GET /stream?bytesPerSecond=N` is a download without
 * end at a bounded speed. Prints `ready service=SOCKET` once it listens. Ends on SIGTERM and SIGINT.
 */
const { values } = parseArgs({ options: { socket: { type: "string" }, name: { type: "string" } } });
const { socket = "service.sock", name = "service" } = values;

const MAX_BYTES_PER_SECOND = 100_000_000;
const TICK_MS = 10;

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "https://service");
  if (url.pathname === "/whoami") response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(identityOf(request)));
  else if (url.pathname === "/stream") stream(response, Number(url.searchParams.get("bytesPerSecond") ?? 1_000_000));
  else if (url.pathname === "/") response.writeHead(200, { "content-type": "text/plain" }).end(`${name} answers\n`);
  else response.writeHead(404).end();
}

function identityOf({ headers }: IncomingMessage): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([header]) => header.startsWith("x-entityos-")));
}

function stream(response: ServerResponse, bytesPerSecond: number): void {
  const speed = Math.min(Math.max(1, Math.floor(bytesPerSecond) || 1), MAX_BYTES_PER_SECOND);
  const block = Buffer.alloc(Math.max(1, Math.floor((speed * TICK_MS) / 1_000)), "entityOS\n");
  response.writeHead(200, { "content-type": "application/octet-stream" });
  const timer = setInterval(() => {
    if (!response.writableNeedDrain) response.write(block);
  }, TICK_MS);
  response.once("close", () => clearInterval(timer));
}

rmSync(socket, { force: true });
const server = createServer(answer);
server.requestTimeout = 0;
server.keepAliveTimeout = 600_000;
server.listen(socket, () => console.log(`ready service=${socket}`));

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
