import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { Duplex } from "node:stream";

/**
 * Answers `/` with the headers that it got, `/stream` without end, `/first` as `/` to who asks nothing before over that connection, as one
 * that closes an idle connection just when it is asked again, and any upgrade with WebSocket's, at `/h2c` with another.
 */
export async function startApplication(
  socket: string,
  seen: string[][],
  trailers: string[] = [],
): Promise<AsyncDisposable & { readonly streams: () => number }> {
  let streams = 0;
  const asked = new WeakSet<Duplex>();
  const server: Server = createServer((request, response) => {
    if (request.url === "/first" && asked.has(request.socket)) return void request.socket.destroy();
    asked.add(request.socket);
    seen.push(request.rawHeaders);
    if (request.url === "/stream") {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      const timer = setInterval(() => response.writableNeedDrain || response.write("0123456789".repeat(100)), 5);
      streams++;
      response.once("close", () => {
        clearInterval(timer);
        streams--;
      });
      return;
    }
    request.resume().once("end", () => {
      trailers.push(...request.rawTrailers);
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(request.headers));
    });
  });
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (request, stream) => {
    seen.push(request.rawHeaders);
    upgraded.add(stream);
    const protocol = request.url === "/h2c" ? "h2c" : "websocket";
    stream.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n`,
    );
    stream.on("data", (data: Buffer) => stream.write(data));
    stream.on("error", () => {});
  });
  server.listen(socket);
  await once(server, "listening");
  return {
    streams: () => streams,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      for (const stream of upgraded) stream.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
