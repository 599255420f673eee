import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { Slots } from "../../lib/slots.ts";
import { servePeer } from "../lab/peer.ts";

/** Hands of the decision table, inside the devices' namespace: TLS connections from a chosen address, with a chosen certificate. */
export interface Asks {
  ask: Knock;
  /** As `ask`, and keeps the connection. */
  open: Knock;
  /** Ends the requests that keep these connections from being idle for too long; resolves once all of them are answered. */
  rest: { readonly ids: readonly number[] };
  /** Another request on a connection that was kept and rests. */
  again: { readonly id: number; readonly answerMs: number };
  /** Bytes without TLS; then half of it closed where `half` is set, else it stays open. */
  say: { readonly host: string; readonly localAddress: string; readonly hex: readonly string[]; readonly half: boolean };
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
  /** No packet is expected. */
  readonly silent: boolean;
  /** How long TLS may take once it is this one's turn, and from then on the answer. */
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
  /** From its turn until this was known. */
  readonly tookMs: number;
}

export interface Answers extends Readonly<Record<"ask" | "open" | "again", Heard>> {
  readonly say: { readonly localPort: number };
  readonly close: Record<string, never>;
  /** What a kept connection heard in the place of an answer. */
  readonly rest: { readonly lost: readonly Heard[] };
}

/** A terminator closes what is idle for 15 s, and a busy machine may take longer to open all that are kept. */
const IDLE_MS = 6_000;
/** Handshakes at one time: a crowd of them outlasts what a terminator waits for a request. */
const AT_ONCE = 12;
const REQUEST = "GET / HTTP/1.1\r\nHost: service.example\r\n\r\n";

/** A connection that is asked now and then until it is told to rest. */
class Kept {
  readonly socket: TLSSocket;
  readonly #id: number;
  #answer: Promise<Heard | null> = Promise.resolve(null);
  #busy = false;
  readonly #timer = setInterval(() => this.#ask(), IDLE_MS);
  readonly #answerMs: number;

  constructor(socket: TLSSocket, id: number, answerMs: number) {
    this.socket = socket;
    this.#id = id;
    this.#answerMs = answerMs;
  }

  /** @returns the last that was heard, unless it was an answer */
  async rest(): Promise<readonly Heard[]> {
    clearInterval(this.#timer);
    const heard = await this.#answer;
    return heard === null || heard.outcome === "http" ? [] : [heard];
  }

  end(): void {
    clearInterval(this.#timer);
    this.socket.destroy();
  }

  #ask(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.#answer = askAgain(this.socket, this.#id, this.#answerMs).then((heard) => {
      this.#busy = heard.outcome !== "http";
      return heard;
    });
  }
}

const kept = new Map<number, Kept>();
const handshakes = new Slots(AT_ONCE);

async function knock(asked: Knock, id: number, keep: boolean): Promise<Heard> {
  const { host, localAddress, ca, client, session, tls12, silent, answerMs } = asked;
  const begin = () => {
    const socket = connect({
      ...{ host, port: 443, localAddress, ca, ALPNProtocols: ["http/1.1"] },
      ...(client ?? {}),
      ...(tls12 === true ? { maxVersion: "TLSv1.2" as const } : {}),
      ...(session === null ? {} : { session: Buffer.from(session, "base64") }),
    });
    // Between two requests too.
    socket.on("error", () => {});
    const { promise, resolve } = Promise.withResolvers<void>();
    return { socket, shaken: promise, heard: exchange(socket, id, { ...asked, keep, open: false, shaken: resolve }) };
  };
  const shake = async () => {
    const begun = begin();
    await begun.shaken;
    return begun;
  };
  // Who gets no packet has no handshake.
  const { socket, heard } = silent ? begin() : await handshakes.run(shake);
  const said = await heard;
  if (keep) kept.set(id, new Kept(socket, id, answerMs));
  return said;
}

const askAgain = (socket: TLSSocket, id: number, answerMs: number): Promise<Heard> =>
  exchange(socket, id, { connectMs: answerMs, answerMs, keep: true, open: true, shaken: () => {} });

interface Terms {
  readonly connectMs: number;
  readonly answerMs: number;
  readonly keep: boolean;
  /** TLS stands already. */
  readonly open: boolean;
  /** Called when the handshake is over, however it ended. */
  readonly shaken: () => void;
}

/** One request, written as soon as TLS stands. */
function exchange(socket: TLSSocket, id: number, { connectMs, answerMs, keep, open, shaken }: Terms): Promise<Heard> {
  const began = performance.now();
  let text = "";
  let [port, resumed] = [0, false];
  return new Promise((resolve) => {
    const done = (outcome: Heard["outcome"]) => {
      clearTimeout(timer);
      shaken();
      socket.off("data", take).off("end", ended).off("error", ended).off("secureConnect", speak);
      const session = socket.getSession()?.toString("base64") ?? null;
      if (!keep) socket.destroy();
      const body = text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1);
      const headers = outcome === "http" ? JSON.parse(body) : {};
      resolve({ id, outcome, headers, localPort: port, session, resumed, tookMs: Math.round(performance.now() - began) });
    };
    const ended = () => done("ended");
    const take = (data: Buffer) => {
      text += data.toString("latin1");
      if (text.includes("\r\n\r\n") && text.includes("}")) done("http");
    };
    let timer = setTimeout(() => done("nothing"), connectMs);
    const speak = () => {
      clearTimeout(timer);
      shaken();
      timer = setTimeout(() => done("tls"), answerMs);
      [port, resumed] = [socket.localPort ?? 0, socket.isSessionReused()];
      socket.write(REQUEST);
    };
    socket.on("data", take).once("end", ended).once("error", ended);
    if (open) speak();
    else socket.once("secureConnect", speak);
  });
}

/** Connections without TLS, which stay open. */
const talking = new Set<Socket>();

/** All but the first bytes are said once the host has answered those before. */
async function say({ host, localAddress, hex, half }: Asks["say"]): Promise<Answers["say"]> {
  const socket = connectTcp({ host, port: 443, localAddress, allowHalfOpen: true });
  talking.add(socket);
  await once(socket, "connect");
  for (const [at, bytes] of hex.entries()) {
    if (at > 0) await once(socket, "data");
    socket.write(Buffer.from(bytes, "hex"));
  }
  socket.resume();
  if (half) socket.end();
  return { localPort: socket.localPort ?? 0 };
}

servePeer({
  ask: (ask: Knock, id: number) => knock(ask, id, false),
  open: (ask: Knock, id: number) => knock(ask, id, true),
  say,
  again: ({ id, answerMs }: Asks["again"]) => {
    const known = kept.get(id);
    if (known === undefined) throw new Error(`no connection ${id}`);
    return askAgain(known.socket, id, answerMs);
  },
  async rest({ ids }: Asks["rest"]): Promise<Answers["rest"]> {
    return { lost: (await Promise.all(ids.map((id) => kept.get(id)?.rest() ?? []))).flat() };
  },
  async close({ id }: Asks["close"]): Promise<Answers["close"]> {
    kept.get(id)?.end();
    kept.delete(id);
    return {};
  },
});
