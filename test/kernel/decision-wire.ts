import type { TerminatorKind } from "../../agent/config.ts";
import type { Capture, Packet } from "../lab/capture.ts";
import { expected } from "./decision.ts";
import { type Answered, addressOf, caseName, verdictOf } from "./decision-cases.ts";

const ENDS_IT = /^Flags \[[^\]]*[FR]/;

/** What the host's wire carried since a moment, by the client's end of it. */
export class Wire {
  readonly #kind: TerminatorKind;
  readonly #back = new Map<string, Packet[]>();
  readonly #sent = new Map<string, Packet[]>();

  /** @param from how many packets were captured before */
  constructor(kind: TerminatorKind, capture: Capture, from: number) {
    this.#kind = kind;
    for (const packet of capture.packets.slice(from)) {
      push(this.#back, packet.to, packet);
      push(this.#back, `${packet.to} ${packet.toPort}`, packet);
      push(this.#sent, `${packet.from} ${packet.fromPort}`, packet);
    }
  }

  /** What is wrong with an answer, in what the client heard and on the wire of the host. */
  faultOf({ cell, family, heard, kept, changedAt }: Answered): string | null {
    const [said, wanted] = [verdictOf(cell, heard), expected(cell)];
    const fault = (what: string) => `${caseName({ cell, family })}, port ${heard.localPort}: ${what}`;
    if (heard.resumed) return fault("its session was resumed");
    if (said !== (wanted === "cut" ? "first flight" : wanted))
      return fault(`${said} after ${heard.tookMs} ms, where '${String(wanted)}' is expected`);
    const address = addressOf(cell, family);
    const back = this.#back.get(address) ?? [];
    if (wanted === "no packet" && back.length > 0) return fault(told(back));
    const port = kept !== null && wanted === "cut" ? kept.first.localPort : heard.localPort;
    const own = this.#back.get(`${address} ${port}`) ?? [];
    if (wanted === "cut") {
      const more = own.filter(({ at }) => at > changedAt);
      return own.length === 0 || more.length > 0 ? fault(`${own.length} before, then ${told(more)}`) : null;
    }
    if (wanted !== "first flight") return null;
    const flight = own.filter(({ text }) => /length [1-9]/.test(text));
    const end = this.#kind === "nginx" ? this.#hungUpAt(address, port) : Number.POSITIVE_INFINITY;
    const loud = own.filter(({ at, text }) => at < end && ENDS_IT.test(text));
    return flight.length === 0 || loud.length > 0 ? fault(told(own)) : null;
  }

  /** nginx answers a client that hangs up before nginx has come to its request: FIN for FIN. */
  #hungUpAt(address: string, port: number): number {
    const hungUp = (this.#sent.get(`${address} ${port}`) ?? []).find(({ text }) => ENDS_IT.test(text));
    return hungUp?.at ?? Number.POSITIVE_INFINITY;
  }
}

const told = (packets: readonly Packet[]): string => packets.map(({ text }) => text).join("; ");

function push(map: Map<string, Packet[]>, key: string, packet: Packet): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [packet]);
  else known.push(packet);
}
