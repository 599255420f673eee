import type { Server, Socket } from "node:net";
import { sourceOfSocket } from "./source.ts";

/**
 * Keeps one source from taking all of a listener's connections: what it opens beyond `most` is closed unheard.
 * Counts from the first packet on, so that handshakes that never end count too.
 */
export function boundPerSource(server: Server, most: number): void {
  const bySource = new Map<string, number>();
  // Before the listener that begins TLS: nothing is spent on what is closed.
  server.prependListener("connection", (socket: Socket) => {
    const source = sourceOfSocket(socket);
    const open = source === null ? most : (bySource.get(source) ?? 0);
    if (source === null || open >= most) {
      socket.destroy();
      return;
    }
    bySource.set(source, open + 1);
    socket.once("close", () => {
      const left = (bySource.get(source) ?? 1) - 1;
      if (left === 0) bySource.delete(source);
      else bySource.set(source, left);
    });
  });
}
