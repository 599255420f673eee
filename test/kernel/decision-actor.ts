import { connect, type TLSSocket } from "node:tls";
import { servePeer } from "../lab/peer.ts";

/** Hands of the decision table, inside the devices' namespace: TLS connections from a chosen address, with a chosen certificate. */
export interface Asks {
  ask: Knock;
  /** As `ask`, and keeps the connection. */
  open: Knock;
  /** Another request on a connection that was kept. */
  again: { readonly id: number; readonly answerMs: number };
  /** Closes a connection that was kept. One that was cut is better kept: its port stays cut for a while, and another may get it. */
  close: { readonly id: number };
}

export interface Knock {
  readonly host: string;
  readonly localAddress: string;
  readonly ca: string;
  readonly client: { readonly cert: string; readonly key: string } | null;
  /** What an earlier connection left to be resumed. */
  readonly session: string | null;
  readonly tls12?: boolean;
  /** How long TLS may take, and from then on the answer. */
  readonly connectMs: number;
  readonly answerMs: number;
}

export interface Heard {
  readonly id: number;
  /** The farthest that the host's answers went; "ended" when it said so by an alert, FIN or RST. */
  readonly outcome: "nothing" | "tls" | "http" | "ended";
  /** Headers as the application got them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly localPort: number;
  readonly session: string | null;
  readonly resumed: boolean;
}

export interface Answers extends Readonly<Record<"ask" | "open" | "again", Heard>> {
  readonly close: Record<string, never>;
}

const kept = new Map<number, TLSSocket>();
const REQUEST = "GET / HTTP/1.1\r\nHost: service.example\r\n\r\n";

function knock({ host, localAddress, ca, client, session, tls12, connectMs, answerMs }: Knock, id: number, keep: boolean): Promise<Heard> {
  const socket = connect({
    ...{ host, port: 443, localAddress, ca, ALPNProtocols: ["http/1.1"] },
    ...(client ?? {}),
    ...(tls12 === true ? { maxVersion: "TLSv1.2" as const } : {}),
    ...(session === null ? {} : { session: Buffer.from(session, "base64") }),
  });
  if (keep) kept.set(id, socket);
  return exchange(socket, id, { connectMs, answerMs, keep, open: false });
}

interface Terms {
  readonly connectMs: number;
  readonly answerMs: number;
  readonly keep: boolean;
  /** TLS stands already. */
  readonly open: boolean;
}

/** One request, written as soon as TLS stands. */
function exchange(socket: TLSSocket, id: number, { connectMs, answerMs, keep, open }: Terms): Promise<Heard> {
  let text = "";
  let [port, resumed] = [0, false];
  return new Promise((resolve) => {
    const done = (outcome: Heard["outcome"]) => {
      clearTimeout(timer);
      socket
        .off("data", take)
        .off("end", ended)
        .off("error", ended)
        .off("secureConnect", speak)
        .on("error", () => {});
      const session = socket.getSession()?.toString("base64") ?? null;
      if (!keep) socket.destroy();
      const body = text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1);
      resolve({ id, outcome, headers: outcome === "http" ? JSON.parse(body) : {}, localPort: port, session, resumed });
    };
    const ended = () => done("ended");
    const take = (data: Buffer) => {
      text += data.toString("latin1");
      if (text.includes("\r\n\r\n") && text.includes("}")) done("http");
    };
    let timer = setTimeout(() => done("nothing"), connectMs);
    const speak = () => {
      clearTimeout(timer);
      timer = setTimeout(() => done("tls"), answerMs);
      [port, resumed] = [socket.localPort ?? 0, socket.isSessionReused()];
      socket.write(REQUEST);
    };
    socket.on("data", take).once("end", ended).once("error", ended);
    if (open) speak();
    else socket.once("secureConnect", speak);
  });
}

servePeer({
  ask: (ask: Knock, id: number) => knock(ask, id, false),
  open: (ask: Knock, id: number) => knock(ask, id, true),
  again: ({ id, answerMs }: Asks["again"]) => {
    const socket = kept.get(id);
    if (socket === undefined) throw new Error(`no connection ${id}`);
    return exchange(socket, id, { connectMs: answerMs, answerMs, keep: true, open: true });
  },
  async close({ id }: Asks["close"]): Promise<Answers["close"]> {
    kept.get(id)?.destroy();
    kept.delete(id);
    return {};
  },
});
