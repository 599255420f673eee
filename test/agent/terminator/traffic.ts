import type { TLSSocket } from "node:tls";
import { asError } from "../../../lib/as-error.ts";
import { waitFor } from "../../lab/wait.ts";
import { type Asking, ask, GET, open } from "./client.ts";

/** Of one client, from connection to connection or over a single one for as long as that stands. */
export type Habit = "a connection for each request" | "one connection for many";

/** Clients that ask without a pause. Disposing of it ends them. */
export interface Traffic extends AsyncDisposable {
  /** Requests that were answered with 200. */
  readonly answered: () => number;
  /** Everything else that they met: a status, a connection that could not be made or ended without an answer. */
  readonly refused: readonly string[];
  /** Resolves when so many more are answered; rejects as soon as one is refused. */
  more(requests: number): Promise<void>;
}

/** A server may close a connection between two requests (RFC 9112 §9.6); that is no refusal where it said so, or sent nothing. */
export function startTraffic(port: number, asking: Asking, habits: readonly Habit[]): Traffic {
  const sockets = new Set<TLSSocket>();
  const refused: string[] = [];
  let answered = 0;
  let ended = false;
  const connect = async (): Promise<TLSSocket> => {
    const socket = await open(port, asking);
    sockets.add(socket.once("close", () => void sockets.delete(socket)));
    return socket;
  };
  const run = async (keeps: boolean): Promise<void> => {
    let socket: TLSSocket | undefined;
    while (!ended) {
      if (socket === undefined || socket.closed) socket = await connect();
      // A poke behind an answer that closes the connection could have RST take the answer away.
      const { status } = await ask(socket, GET, { pokes: false });
      if (status === 200) answered++;
      else if (!(keeps && socket.closed)) refuse(`${status ?? "no answer"}`);
      if (!keeps) socket.destroy();
    }
  };
  const refuse = (what: string): void => {
    if (!ended) refused.push(what);
  };
  const clients = habits.map((habit) => run(habit === "one connection for many").catch((error: unknown) => refuse(asError(error).message)));
  return {
    answered: () => answered,
    refused,
    async more(requests) {
      const enough = answered + requests;
      const look = () => {
        if (refused.length > 0) throw new Error(`refused: ${refused.join(", ")}`);
        return answered >= enough || undefined;
      };
      await waitFor(`${requests} answers`, look, { timeoutMs: 30_000, everyMs: 2 });
    },
    async [Symbol.asyncDispose]() {
      ended = true;
      // One may wait in vain.
      for (const socket of sockets) socket.destroy();
      await Promise.all(clients);
    },
  };
}
