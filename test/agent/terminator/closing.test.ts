import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect } from "chai";
import type { Flow } from "../../../agent/target.ts";
import { closeConnections } from "../../../agent/terminator/closing.ts";
import { connectionsAt } from "../../../agent/terminator/sockets.ts";

const { signal } = new AbortController();

describe("connections that are closed on this host", () => {
  for (const [family, address] of [
    [4, "127.0.0.1"],
    [6, "::1"],
  ] as const)
    it(`are those that are named, at the ports that are named, over IPv${family}`, async () => {
      await using stack = new AsyncDisposableStack();
      const listen = async () => {
        const sockets: Socket[] = [];
        const server = createServer((socket) => void sockets.push(socket.on("error", () => {}))).listen(0, address);
        stack.defer(() => void server.close());
        stack.defer(() => {
          for (const socket of sockets) socket.destroy();
        });
        await once(server, "listening");
        return { sockets, port: (server.address() as AddressInfo).port, server };
      };
      const open = async ({ port, server }: Awaited<ReturnType<typeof listen>>): Promise<Socket> => {
        const socket = connect({ host: address, port }).on("error", () => {});
        stack.defer(() => void socket.destroy());
        await Promise.all([once(socket, "connect"), once(server, "connection")]);
        return socket;
      };
      const [gate, other] = [await listen(), await listen()];
      const first = await open(gate);
      await open(gate);
      const elsewhere = await open(other);
      const lost = new Promise((resolve) => first.once("close", resolve));
      // More than one program is told at a time; what never was there is no fault.
      const none = Array.from({ length: 250 }, (_, index) => index + 1);
      const flows = [...none, elsewhere.localPort ?? 0, first.localPort ?? 0].map((port): Flow => ({ family, address, port }));
      await closeConnections(new Set([gate.port]), flows, signal);
      await lost;
      expect(gate.sockets.map(({ destroyed }) => destroyed)).to.deep.equal([true, false]);
      expect(other.sockets.map(({ destroyed }) => destroyed)).to.deep.equal([false]);
      expect((await connectionsAt(new Set([gate.port]))).length).to.equal(1);
    });
});
