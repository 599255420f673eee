import { BIN } from "../lab/configs.ts";
import { type Peer, startPeer } from "../lab/peer.ts";

/** A server and, in a process of its own, its clients. */
export abstract class Sides<ServerAsks, ServerAnswers, ClientsAsks, ClientsAnswers> implements AsyncDisposable {
  protected readonly server: Peer<ServerAsks, ServerAnswers>;
  protected readonly clients: Peer<ClientsAsks, ClientsAnswers>;

  constructor([server, clients]: readonly [Peer<ServerAsks, ServerAnswers>, Peer<ClientsAsks, ClientsAnswers>]) {
    this.server = server;
    this.clients = clients;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.clients[Symbol.asyncDispose](), this.server[Symbol.asyncDispose]()]);
  }
}

/** @param name of the two sources: NAME-server.ts, which is told its kind, and NAME-clients.ts */
export async function startSides<SA, SR, CA, CR>(name: string, kind: string): Promise<readonly [Peer<SA, SR>, Peer<CA, CR>]> {
  const server = await startPeer<SA, SR>([BIN.run, `test/bench/${name}-server.ts`, "--kind", kind]);
  return [server, await startPeer<CA, CR>([BIN.run, `test/bench/${name}-clients.ts`])];
}
