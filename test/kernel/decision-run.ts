import type { TerminatorKind } from "../../agent/config.ts";
import { asError } from "../../lib/as-error.ts";
import { type ClientCertificate, HOUR_MS, makeTestPki } from "../agent/terminator/pki.ts";
import { type Capture, startCapture } from "../lab/capture.ts";
import { within } from "../lab/wait.ts";
import { endsOf } from "./answers.ts";
import { cellsOf, ENDS, expected, PATTERNS, type Switches } from "./decision.ts";
import type { Heard, Knock } from "./decision-actor.ts";
import {
  type Answered,
  addressOf,
  type Case,
  caseName,
  DEVICES,
  FAMILIES,
  type Kept,
  PATIENCE_MS,
  type Pattern,
  prefixOf,
  SOURCES,
  sourceOf,
  verdictOf,
  waitsOf,
} from "./decision-cases.ts";
import { type DecisionOptions, type DecisionScene, makeDecisionScene } from "./decision-scene.ts";
import { Wire } from "./decision-wire.ts";
import { udp } from "./frames.ts";

/** Bound of one step, such as a reload; of all that is asked between two; and of one cell, its turn and both patiences included. */
const STEP_MS = 120_000;
const ASKING_MS = 240_000;
/** Cells that are named when a step does not end. */
const NAMED = 5;

/** Asks one terminator, behind a real kernel, for the cells of the decision table. */
export class DecisionRun implements AsyncDisposable {
  readonly #kind: TerminatorKind;
  readonly #scene: DecisionScene;
  readonly #capture: Capture;
  readonly #shown = new Map<string, ClientCertificate>();
  /** Cells that wait for an answer, by when they began to. */
  readonly #asking = new Map<Case, number>();
  #lost: Error | null = null;

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
    await run.#step("certificates that stay as they are", STEP_MS, run.#makeLasting());
    stack.move();
    return run;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#capture[Symbol.asyncDispose]();
    await this.#scene[Symbol.asyncDispose]();
  }

  /**
   * Asks for every possible cell of a host with these lanes. It ends, whatever hangs.
   * @returns what is not as the table says, a line each
   * @throws TimeoutError that names the step, and the cells that got no answer; from then on nothing more is asked
   */
  async faults(lanes: Switches): Promise<string[]> {
    if (this.#lost !== null) throw new Error("Not asked: an earlier step did not end", { cause: this.#lost });
    try {
      return await this.#faults(lanes);
    } catch (error) {
      this.#lost = asError(error);
      throw error;
    }
  }

  async #faults(lanes: Switches): Promise<string[]> {
    const scene = this.#scene;
    await this.#step("the lanes to be switched", STEP_MS, scene.configure(lanes));
    const retire = await this.#step("certificates to be registered", STEP_MS, this.#makePassing());
    const from = this.#capture.packets.length;
    const all = cellsOf(lanes).filter((cell) => typeof expected(cell) === "string");
    const cases = FAMILIES.flatMap((family) => all.map((cell) => ({ cell, family })));
    const fresh = cases.filter(({ cell }) => cell.connection === "new");
    const opening = cases.filter(({ cell }) => cell.connection !== "new").map((one) => this.#open(one));
    const kept = await this.#step("connections to be opened", ASKING_MS, Promise.all(opening));
    const close = (which: readonly Kept[]) => Promise.all(which.map(({ first }) => scene.hands.ask("close", { id: first.id })));
    const unknown = kept.filter(({ cell, first }) => verdictOf(cell, first) !== "in, known");
    const ids = kept.map(({ first }) => first.id);
    const { lost } = await this.#step("kept connections to rest", STEP_MS, scene.hands.ask("rest", { ids }));
    if (unknown.length + lost.length > 0) {
      await close(kept);
      return [
        ...unknown.map((one) => `${caseName(one)}: before the change, ${verdictOf(one.cell, one.first)}`),
        ...lost.map(({ outcome, localPort, tookMs }) => `port ${localPort}: ${outcome} after ${tookMs} ms, while kept`),
      ];
    }
    const answered: Answered[] = [];
    for (const [what, change, isOf] of [
      ["what ends to end", () => this.#end(), ({ cell }: Case) => cell.certificate !== "retired CA"],
      ["the CA to be retired", retire, ({ cell }: Case) => cell.certificate === "retired CA"],
    ] as const) {
      await this.#step(what, STEP_MS, change());
      const changedAt = Date.now() + 1;
      const asked = [...kept, ...fresh].filter(isOf).map((one) => this.#ask(one, changedAt));
      answered.push(...(await this.#step(`answers after ${what}`, ASKING_MS, Promise.all(asked))));
    }
    await this.#step("the capture to have all", STEP_MS, this.#settle(from));
    await close(kept.filter(({ cell }) => expected(cell) !== "cut"));
    const wire = new Wire(this.#kind, this.#capture, from);
    return answered.flatMap((one) => wire.faultOf(one) ?? []);
  }

  #step<T>(what: string, ms: number, work: Promise<T>): Promise<T> {
    const waiting = () => {
      const cells = [...this.#asking].map(([one, since]) => `${caseName(one)}, for ${Math.round(performance.now() - since)} ms`);
      return cells.length === 0 ? "" : `; ${cells.length} cells wait: ${cells.slice(0, NAMED).join("; ")}`;
    };
    return within(() => `${this.#kind}: ${what}${waiting()}`, ms, work);
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
      silent: expected(cell) === "no packet",
      ...waitsOf({ cell, family }),
      ...more,
    };
  }

  #open(one: Case): Promise<Kept> {
    const patient = { connectMs: PATIENCE_MS, answerMs: PATIENCE_MS, tls12: one.cell.connection === "resumed" };
    return this.#noted(one, async () => ({ ...one, first: await this.#scene.hands.ask("open", this.#knockOf(one, patient)) }));
  }

  #ask(one: Case | Kept, changedAt: number): Promise<Answered> {
    const { cell, family } = one;
    const kept = "first" in one ? one : null;
    return this.#noted(one, async () => ({ cell, family, heard: await this.#hear(one), kept, changedAt }));
  }

  #hear(one: Case | Kept): Promise<Heard> {
    const { hands } = this.#scene;
    if (!("first" in one)) return hands.ask("ask", this.#knockOf(one));
    if (one.cell.connection === "open") return hands.ask("again", { id: one.first.id, answerMs: waitsOf(one).answerMs });
    return hands.ask("ask", this.#knockOf(one, { session: one.first.session, tls12: true }));
  }

  async #noted<T>(one: Case, work: () => Promise<T>): Promise<T> {
    this.#asking.set(one, performance.now());
    try {
      return await work();
    } finally {
      this.#asking.delete(one);
    }
  }

  /** All that was sent until now is captured when it resolves. */
  async #settle(after: number): Promise<void> {
    const { devices, host } = this.#scene;
    const [device = host] = devices;
    await device.send([udp(endsOf(device, host, 4), 9)]);
    await this.#capture.until("the last datagram", ({ toPort }) => toPort === 9, after);
  }
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
