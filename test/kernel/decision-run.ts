import type { TerminatorKind } from "../../agent/config.ts";
import { type ClientCertificate, HOUR_MS, makeTestPki } from "../agent/terminator/pki.ts";
import { type Capture, startCapture } from "../lab/capture.ts";
import { endsOf } from "./answers.ts";
import { type Cell, cellsOf, ENDS, expected, nameOf, PATTERNS, type Switches, type Verdict } from "./decision.ts";
import type { Heard, Knock } from "./decision-actor.ts";
import { type DecisionOptions, type DecisionScene, makeDecisionScene } from "./decision-scene.ts";
import { udp } from "./frames.ts";

/** How long nothing is listened to; and how long what must come may take. */
const SILENCE_MS = 1_000;
const PATIENCE_MS = 30_000;
const AT_ONCE = 12;
const FAMILIES = [4, 6] as const;
type Family = (typeof FAMILIES)[number];
type Pattern = Cell["pattern"];
const ENDS_IT = /^Flags \[[^\]]*[FR]/;

const DEVICES: Readonly<Record<Pattern | "other", string>> = {
  ip: "0198f2c1-7d1e-7000-8000-000000000001",
  cert: "0198f2c1-7d1e-7000-8000-000000000002",
  either: "0198f2c1-7d1e-7000-8000-000000000003",
  both: "0198f2c1-7d1e-7000-8000-000000000004",
  other: "0198f2c1-7d1e-7000-8000-000000000005",
};
const SOURCES = ["ip", "either", "both", "another's (lane ip)", "another's (lane ipcert)", "none"] as const;
const sourceOf = (which: (typeof SOURCES)[number], family: Family): string => {
  const number = 100 + SOURCES.indexOf(which);
  return family === 4 ? `203.0.113.${number}` : `2001:db8:0:${number}::1`;
};
const prefixOf = (which: (typeof SOURCES)[number], family: Family) => `${sourceOf(which, family)}/${family === 4 ? 32 : 128}`;

function addressOf({ address, pattern }: Cell, family: Family): string {
  if (address !== "own") return sourceOf(address, family);
  if (pattern === "cert") throw new Error("the pattern cert has no address");
  return sourceOf(pattern, family);
}

/** A cell that is asked for over one family. */
interface Case {
  readonly cell: Cell;
  readonly family: Family;
}

/** A connection that was open before, or whose session is offered again. */
interface Kept extends Case {
  readonly first: Heard;
}

/** What was heard of a case; `kept` and the moment of the change, ms since 1970, where there was a connection before. */
interface Answered extends Case {
  readonly heard: Heard;
  readonly kept: Kept | null;
  readonly changedAt: number;
}

/** Asks one terminator, behind a real kernel, for the cells of the decision table. */
export class DecisionRun implements AsyncDisposable {
  readonly #kind: TerminatorKind;
  readonly #scene: DecisionScene;
  readonly #capture: Capture;
  readonly #shown = new Map<string, ClientCertificate>();

  private constructor(kind: TerminatorKind, scene: DecisionScene, capture: Capture) {
    this.#kind = kind;
    this.#scene = scene;
    this.#capture = capture;
  }

  static async start(options: Omit<DecisionOptions, "addresses">): Promise<DecisionRun> {
    await using stack = new AsyncDisposableStack();
    const addresses = FAMILIES.flatMap((family) => SOURCES.map((which) => sourceOf(which, family)));
    const scene = stack.use(await makeDecisionScene({ ...options, addresses }));
    grant(scene);
    const run = new DecisionRun(options.kind, scene, stack.use(await startCapture(scene.host.netns, "tcp port 443 or udp port 9")));
    await run.#makeLasting();
    stack.move();
    return run;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#capture[Symbol.asyncDispose]();
    await this.#scene[Symbol.asyncDispose]();
  }

  /** Asks for every possible cell of a host with these lanes. @returns what is not as the table says, a line each */
  async faults(lanes: Switches): Promise<string[]> {
    const scene = this.#scene;
    await scene.configure(lanes);
    const retire = await this.#makePassing();
    const from = this.#capture.packets.length;
    const all = cellsOf(lanes).filter((cell) => typeof expected(cell) === "string");
    const cases = FAMILIES.flatMap((family) => all.map((cell) => ({ cell, family })));
    const kept = await inTurns(
      cases.filter(({ cell }) => cell.connection !== "new"),
      (one) => this.#open(one),
    );
    const before = kept.filter(({ cell, first }) => verdictOf(cell, first) !== "in, known");
    if (before.length > 0) return before.map(({ cell, first }) => `${nameOf(cell)}: before, ${verdictOf(cell, first)}`);
    const answered: Answered[] = [];
    for (const [change, isOf] of [
      [() => this.#end(), ({ cell }: Case) => cell.certificate !== "retired CA"],
      [retire, ({ cell }: Case) => cell.certificate === "retired CA"],
    ] as const) {
      await change();
      const changedAt = Date.now() + 1;
      const asked = [...kept, ...cases.filter(({ cell }) => cell.connection === "new")].filter(isOf);
      const ask = (one: Case | Kept) => this.#ask(one, changedAt);
      answered.push(...(await inTurns(asked.filter(isServed), ask)));
      answered.push(...(await Promise.all(asked.filter((one) => !isServed(one)).map(ask))));
    }
    await this.#settle(from);
    const over = kept.filter(({ cell }) => expected(cell) !== "cut");
    await Promise.all(over.map(({ first }) => scene.hands.ask("close", { id: first.id })));
    return answered.flatMap((one) => this.#faultOf(one, from) ?? []);
  }

  #list({ fingerprint, serial, notAfter }: ClientCertificate, pattern: Pattern, issuer = this.#scene.pki.deviceCaId): void {
    const body = JSON.stringify({ device: DEVICES[pattern], pattern, subject: "ada", serial, issuer, notAfter });
    this.#scene.desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body });
  }

  /** What is wrong with each of these is wrong alone, and for good: all but the unregistered are listed. */
  async #makeLasting(): Promise<void> {
    const { pki } = this.#scene;
    const foreign = await makeTestPki();
    const now = Date.now();
    for (const pattern of PATTERNS) {
      const device = DEVICES[pattern];
      const made = {
        unregistered: await pki.issue(device),
        "other CA": await foreign.issue(device),
        "not yet valid": await pki.issue(device, { now: now + HOUR_MS }),
        "expired new": await pki.issue(device, { now: now - 2 * HOUR_MS }),
      };
      for (const [kind, certificate] of Object.entries(made)) {
        this.#shown.set(`${pattern} ${kind}`, certificate);
        if (kind !== "unregistered") this.#list(certificate, pattern);
      }
    }
    await this.#scene.apply();
  }

  /**
   * Certificates that count, until the moment that is asked about: new ones, and a CA that is there until it is retired.
   * @returns retires the CA, whose certificates stay listed
   */
  async #makePassing(): Promise<() => Promise<void>> {
    const { desired, pki } = this.#scene;
    const ca = await pki.anotherDeviceCa();
    desired.change({ kind: "trust.set", target: "crl", id: ca.id, body: ca.crl });
    desired.change({ kind: "trust.set", target: "ca", id: ca.id, body: ca.chain });
    for (const pattern of ["cert", "either", "both"] as const) {
      for (const kind of ENDS) {
        const retired = kind === "retired CA";
        const certificate = await pki.issue(DEVICES[pattern], retired ? { ca } : {});
        this.#shown.set(`${pattern} ${kind}`, certificate);
        this.#list(certificate, pattern, retired ? ca.id : pki.deviceCaId);
      }
    }
    await this.#scene.applyWithReload();
    return async () => {
      for (const target of ["ca", "crl"] as const) desired.change({ kind: "trust.remove", target, id: ca.id });
      await this.#scene.applyWithReload();
    };
  }

  /** The registry takes the expired and the revoked off the list. */
  async #end(): Promise<void> {
    for (const pattern of ["cert", "either", "both"] as const) {
      for (const kind of ["expired", "revoked"] as const) {
        const { fingerprint: id } = this.#certificateOf(pattern, kind) as ClientCertificate;
        this.#scene.desired.change({ kind: "trust.remove", target: "certificate", id });
      }
    }
    await this.#scene.apply();
  }

  #certificateOf(pattern: Pattern, kind: string): ClientCertificate | null {
    return this.#shown.get(`${pattern} ${kind}`) ?? null;
  }

  #knockOf({ cell, family }: Case, more: Partial<Knock> = {}): Knock {
    const { pattern, certificate, connection } = cell;
    // One that ran out before it was ever shown is still listed.
    const kind = connection === "new" && certificate === "expired" ? "expired new" : certificate;
    const client = this.#certificateOf(pattern, kind);
    return {
      host: family === 4 ? this.#scene.host.v4 : this.#scene.host.v6,
      localAddress: addressOf(cell, family),
      ca: this.#scene.pki.root,
      client: client === null ? null : { cert: client.cert, key: client.key },
      session: null,
      ...waits(expected(cell) as Verdict),
      ...more,
    };
  }

  async #open({ cell, family }: Case): Promise<Kept> {
    const patient = { connectMs: PATIENCE_MS, answerMs: PATIENCE_MS, tls12: cell.connection === "resumed" };
    return { cell, family, first: await this.#scene.hands.ask("open", this.#knockOf({ cell, family }, patient)) };
  }

  async #ask(one: Case | Kept, changedAt: number): Promise<Answered> {
    const { cell, family } = one;
    const { hands } = this.#scene;
    if (!("first" in one)) return { cell, family, heard: await hands.ask("ask", this.#knockOf(one)), kept: null, changedAt };
    const { answerMs } = waits(expected(cell) as Verdict);
    const heard =
      cell.connection === "open"
        ? await hands.ask("again", { id: one.first.id, answerMs })
        : await hands.ask("ask", this.#knockOf(one, { session: one.first.session, tls12: true }));
    return { cell, family, heard, kept: one, changedAt };
  }

  /** What is wrong with an answer, in what the client heard and on the wire of the host. */
  #faultOf({ cell, family, heard, kept, changedAt }: Answered, from: number): string | null {
    const [said, wanted] = [verdictOf(cell, heard), expected(cell)];
    const fault = (what: string) => `${nameOf(cell)}, IPv${family}, port ${heard.localPort}: ${what}`;
    const back = this.#capture.packets.slice(from).filter(({ to }) => to === addressOf(cell, family));
    const told = (packets: typeof back) => packets.map(({ text }) => text).join("; ");
    if (heard.resumed) return fault("its session was resumed");
    if (said !== (wanted === "cut" ? "first flight" : wanted)) return fault(said);
    const own = back.filter(({ toPort }) => toPort === (kept !== null && wanted === "cut" ? kept.first.localPort : heard.localPort));
    if (wanted === "no packet" && back.length > 0) return fault(told(back));
    if (wanted === "cut") {
      const more = own.filter(({ at }) => at > changedAt);
      return own.length === 0 || more.length > 0 ? fault(`${own.length} before, then ${told(more)}`) : null;
    }
    if (wanted !== "first flight") return null;
    const flight = own.filter(({ text }) => /length [1-9]/.test(text));
    const end = this.#kind === "nginx" ? this.#hungUpAt(addressOf(cell, family), heard.localPort, from) : Number.POSITIVE_INFINITY;
    const loud = own.filter(({ at, text }) => at < end && ENDS_IT.test(text));
    return flight.length === 0 || loud.length > 0 ? fault(told(own)) : null;
  }

  /** nginx answers a client that hangs up before nginx has come to its request: FIN for FIN. */
  #hungUpAt(address: string, port: number, after: number): number {
    const hungUp = this.#capture.packets
      .slice(after)
      .find((packet) => packet.from === address && packet.fromPort === port && ENDS_IT.test(packet.text));
    return hungUp?.at ?? Number.POSITIVE_INFINITY;
  }

  /** All that was sent until now is captured when it resolves. */
  async #settle(after: number): Promise<void> {
    const { devices, host } = this.#scene;
    const [device = host] = devices;
    await device.send([udp(endsOf(device, host, 4), 9)]);
    await this.#capture.until("the last datagram", ({ toPort }) => toPort === 9, after);
  }
}

const isServed = ({ cell }: Case): boolean => waits(expected(cell) as Verdict).answerMs === PATIENCE_MS;

/** A few at a time: on a busy machine a crowd of handshakes outlasts what nginx waits for. */
async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) results.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map(work))));
  return results;
}

/** Addresses of the devices, and of one more. */
function grant(scene: DecisionScene): void {
  for (const family of FAMILIES) {
    for (const which of ["ip", "either", "another's (lane ip)"] as const) scene.admit("ip", prefixOf(which, family));
    for (const [which, device] of [
      ["both", DEVICES.both],
      ["another's (lane ipcert)", DEVICES.other],
    ] as const) {
      scene.admit("ipcert", prefixOf(which, family));
      const body = JSON.stringify({ expiresAt: Date.now() + HOUR_MS });
      scene.desired.change({ kind: "trust.set", target: "binding", id: `${device} ${prefixOf(which, family)}`, body });
    }
  }
}

/** What was heard, in the table's words. */
function verdictOf({ pattern }: Cell, { outcome, headers }: Heard): string {
  if (outcome === "nothing") return "no packet";
  if (outcome === "tls") return "first flight";
  if (outcome === "ended") return "ended";
  const device = headers["x-entityos-device"];
  if (device === undefined) return "in";
  return device === DEVICES[pattern] && headers["x-entityos-pattern"] === pattern ? "in, known" : `in, as ${device}`;
}

const waits = (verdict: Verdict): { readonly connectMs: number; readonly answerMs: number } => ({
  connectMs: verdict === "no packet" ? SILENCE_MS : PATIENCE_MS,
  answerMs: verdict === "in" || verdict === "in, known" ? PATIENCE_MS : SILENCE_MS,
});
