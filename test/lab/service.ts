import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { answer, end } from "./application/answer.ts";
import { Audit } from "./application/audit.ts";
import { Files } from "./application/files.ts";
import { callerOf } from "./application/identity.ts";
import { People } from "./application/people.ts";

/**
 * Auth + Resources: the application behind the gate, on a UNIX socket that its owner alone opens. For persons `POST /login`,
 * `POST /logout`, `GET /files`, `GET|HEAD|PUT|DELETE /files/NAME`. Besides, for the lab: `GET /` answers one line, `GET /whoami` what the
 * gate says, `GET /stream?bytesPerSecond=N` is a download without end at a bounded speed. Prints `ready service=SOCKET` once it listens.
 * Ends on SIGTERM and SIGINT.
 */
const { values } = parseArgs({
  options: {
    socket: { type: "string", default: "service.sock" },
    name: { type: "string", default: "service" },
    /** JSON: hashes of passwords by the persons' names. */
    people: { type: "string", default: "people.json" },
    data: { type: "string", default: "data" },
  },
});
const { socket, name, data } = values;
const REQUEST_MS = 300_000;
const KEEP_ALIVE_MS = 600_000;
const MAX_CONNECTIONS = 1_000;
const MAX_BYTES_PER_SECOND = 100_000_000;
const TICK_MS = 10;

function stream(response: ServerResponse, bytesPerSecond: number): void {
  const speed = Math.min(Math.max(1, Math.floor(bytesPerSecond) || 1), MAX_BYTES_PER_SECOND);
  const block = Buffer.alloc(Math.max(1, Math.floor((speed * TICK_MS) / 1_000)), "entityOS\n");
  response.writeHead(200, { "content-type": "application/octet-stream" });
  const timer = setInterval(() => {
    if (!response.writableNeedDrain) response.write(block);
  }, TICK_MS);
  response.once("close", () => clearInterval(timer));
}

const wordsOf = ({ headers }: IncomingMessage): string =>
  JSON.stringify(Object.fromEntries(Object.entries(headers).filter(([header]) => header.startsWith("x-entityos-"))));

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "https://service");
  const shown = callerOf(request) === null || request.method !== "GET" ? "" : url.pathname;
  if (shown === "/") end(response, 200, `${name} answers\n`);
  else if (shown === "/whoami") end(response, 200, wordsOf(request));
  else if (shown === "/stream") stream(response, Number(url.searchParams.get("bytesPerSecond") ?? 1_000_000));
  else await answer(application, request, response);
}

mkdirSync(data, { recursive: true, mode: 0o700 });
const people = new People(JSON.parse(readFileSync(values.people, "utf8")));
const application = { people, files: new Files(join(data, "files")), audit: new Audit(join(data, "audit.log")) };

const server = createServer({ requestTimeout: REQUEST_MS, keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
  serve(request, response).catch(() => {
    if (response.headersSent) response.destroy();
    else response.writeHead(500, { connection: "close" }).end();
  });
});
server.maxConnections = MAX_CONNECTIONS;
rmSync(socket, { force: true });
process.umask(0o077);
server.listen(socket, () => console.log(`ready service=${socket}`));

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
