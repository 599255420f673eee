import type { TLSSocket } from "node:tls";
import { asError } from "../../../lib/as-error.ts";
import { waitFor } from "../../lab/wait.ts";
import { type Asking, ask, GET, open } from "./client.ts";

/** Of one client, from connection to connection or over a single one for as long as that stands. */
export type Habit = "a connection for each request" | "one connection for many";

/** Clients that ask without a pause. Disposing of it ends them. */
export interface Traffic extends AsyncDisposable {
  /**
   * Resolves when each client was answered with 200 so many times more. Rejects with what one met since the beginning that was anything
   * else: a status, a connection that could not be made or that ended without an answer.
   */
  more(requests: number): Promise<void>;
}

/** A server may close a connection between two requests (RFC 9112 §9.6); that is no refusal where it said so, or sent nothing. */
export function startTraffic(port: number, asking: Asking, habits: readonly Habit[]): Traffic {
  const sockets = new Set<TLSSocket>();
  const refused: string[] = [];
  const answered = habits.map(() => 0);
  let ended = false;
  const connect = async (): Promise<TLSSocket> => {
    const socket = await open(port, asking);
    sockets.add(socket.once("close", () => void sockets.delete(socket)));
    if (ended) socket.destroy();
    return socket;
  };
  const run = async (client: number, keeps: boolean): Promise<void> => {
    let socket: TLSSocket | undefined;
    while (!ended) {
      if (socket === undefined || socket.closed) socket = await connect();
      // A poke behind an answer that closes the connection could have RST take the answer away.
      const { status } = await ask(socket, GET, { pokes: false });
      if (status === 200) answered[client] = (answered[client] ?? 0) + 1;
      else if (!(keeps && socket.closed)) refuse(`${status ?? "no answer"}`);
      if (!keeps) socket.destroy();
    }
  };
  const refuse = (what: string): void => {
    if (!ended) refused.push(what);
  };
  const clients = habits.map((habit, client) =>
    run(client, habit === "one connection for many").catch((error: unknown) => refuse(asError(error).message)),
  );
  return {
    async more(requests) {
      const enough = answered.map((count) => count + requests);
      const look = () => {
        if (refused.length > 0) throw new Error(`refused: ${refused.join(", ")}`);
        return answered.every((count, client) => count >= (enough[client] ?? 0)) || undefined;
      };
      const what = `${requests} more answers for each client, ${answered.join(", ")} before`;
      await waitFor(what, look, { timeoutMs: 30_000, everyMs: 2 });
    },
    async [Symbol.asyncDispose]() {
      ended = true;
      // One may wait in vain.
      for (const socket of sockets) socket.destroy();
      await Promise.all(clients);
    },
  };
}
