import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PATH } from "../../lib/service.ts";
import type { DesiredState } from "../desired.ts";
import type { Differences, Flow } from "../target.ts";
import { Admission, type AdmissionPolicy, type Identity, type Question } from "./admission.ts";
import { type Judge, serveAuthorizer } from "./authorizer.ts";
import { Background } from "./background.ts";
import { closeConnections } from "./closing.ts";
import { CrlTexts } from "./crls.ts";
import { SmallTrust } from "./desired-trust.ts";
import { EndsDue } from "./ends-due.ts";
import { Flows, type Owned } from "./flows.ts";
import { currentGeneration, hasLane } from "./generation.ts";
import { serveFiles } from "./nginx-files.ts";
import { type Terminator, type TerminatorOptions, type TerminatorSettings, Turns } from "./settings.ts";
import { type Connection, connectionsAt } from "./sockets.ts";
import { Tending } from "./tending.ts";

/** Reloads for CRLs come no closer than this: what the agent itself knows decides on revocation meanwhile. */
const CRL_RELOAD_MS = 10_000;
/** A cut lasts 120 s in the kernel: what nginx still has open by then is cut anew well before. */
const CUT_AGAIN_ROUNDS = 6;

export interface NginxOptions extends TerminatorOptions {
  /** What the kernel has of connections at these ports. */
  readonly connections?: typeof connectionsAt;
  /** Closes this host's end of connections. */
  readonly close?: typeof closeConnections;
}

/**
 * nginx's trust as a target of the reconciler. Who is admitted nginx asks at every request, so registered certificates, bindings and
 * what CRLs take back are in force at once; CAs and CRLs are also files, and a reload. When the agent does not answer nobody is let in.
 */
export class NginxTarget implements Terminator, Judge {
  readonly name = "nginx";
  readonly trustAlone = true;
  readonly #options: NginxOptions;
  #config: TerminatorSettings;
  readonly #admission: Admission;
  readonly #flows = new Flows();
  /** Listeners, those of earlier configurations too: workers that were replaced still serve there. */
  readonly #ports = new Set<number>();
  readonly #crls = new CrlTexts();
  readonly #turns = new Turns();
  readonly #background: Background;
  readonly #ending = new AbortController();
  readonly #stack = new AsyncDisposableStack();
  /** Of the first moment, registry time, ms. */
  readonly #since: number;
  #trust = new SmallTrust();
  #ready = false;
  /** False: only a resync knows what is in memory. */
  #known = false;
  /** Of the generation that nginx has; null while that is not known. */
  #revocations: { readonly text: string | null } | null = null;
  #round = 0;
  readonly #ends: EndsDue;
  /** Something ended, here or by the last word of the agent before, of which not all connections are known to be cut. */
  #owed: boolean;

  private constructor(options: NginxOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#notePorts();
    this.#since = options.now();
    this.#ends = new EndsDue(options.config.stateDir);
    const roamed = hasLane(currentGeneration(options.config.stateDir, "nginx"), "roaming");
    this.#owed = this.#ends.due || (roamed && !options.config.gate.lanes.roaming);
    this.#admission = new Admission(policyOf(options.config), options.now);
    const onError = (error: unknown) =>
      options.log.error({ alarm: "crl", err: error }, "Cannot renew a CRL; the last one stays, and registered certificates decide");
    this.#background = new Background(
      () => this.#catchUpWithCrls(),
      options.crlReloadMs ?? CRL_RELOAD_MS,
      AbortSignal.any([options.signal, this.#ending.signal]),
      onError,
    );
  }

  /** Resolves once nginx can ask; until the first resync everything is refused. */
  static async start(options: NginxOptions): Promise<NginxTarget> {
    const target = new NginxTarget(options);
    target.#flows.begin(await target.#connections());
    const { runtimeDir } = options.config;
    target.#stack.use(await serveAuthorizer(join(runtimeDir, PATH.authorizerSocketName), target));
    target.#stack.use(new Tending(options, target.#tend.bind(target)));
    return target;
  }

  configure(config: TerminatorSettings): void {
    this.#config = config;
    this.#notePorts();
  }

  ready(): boolean {
    return this.#ready;
  }

  judge(question: Question, connection: Connection): { readonly identity: Identity | null } | null {
    const verdict = this.#admission.decide(question);
    if (verdict === null) return null;
    const owner = verdict.identity === null ? null : { ...verdict.identity, lane: question.lane };
    // A connection that cannot be found again is not let in: the table is full.
    return this.#flows.note(connection, owner) ? verdict : null;
  }

  /** The whole state first in memory, then what it ends, then a new generation. */
  resync(desired: DesiredState, signal: AbortSignal): Promise<void> {
    // What ends from here on may be on disk before its turn comes, until the last of this is done: whoever dies before owes the cut.
    this.#ends.set(true);
    return this.#turns.take(async () => {
      this.#known = false;
      await this.#take(desired, signal);
      this.#ready = true;
      await this.#renew(signal);
      this.#settle();
    });
  }

  /** Memory and firewall wait for no reload that is under way, and nobody waits for one for a list: the agent knows it already. */
  async apply(_desired: DesiredState, { trust: differences }: Differences, signal: AbortSignal): Promise<void> {
    if (!this.#known) throw new Error("Cannot apply differences before a resync");
    if (differences.length === 0) return;
    const touched = new Set(differences.map(({ target }) => target));
    // Part of it may be done from here on.
    this.#known = false;
    this.#owed = differences.some((difference) => difference.target !== "crl" && hasEnded(difference));
    // The reload for a CA is waited for, and what ends meanwhile too.
    if (touched.has("ca")) this.#ends.set(true);
    for (const difference of differences) {
      this.#trust.take(difference.target, difference.id, difference.wanted);
      this.#admission.take(difference);
    }
    const lost = touched.has("ca") && this.#trustAuthorities();
    if (lost) await this.#end(this.#flows.all(), signal);
    else await this.#endOf(differences, signal);
    this.#owed = false;
    if (touched.has("crl")) this.#trustCrls();
    if (touched.has("ca")) await this.#turns.take(() => this.#renew(signal));
    else if (touched.has("crl")) this.#background.soon();
    this.#settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error("the target ends"));
    await this.#stack.disposeAsync();
    await this.#background[Symbol.asyncDispose]();
    await this.#turns.done();
  }

  /** Certificates and bindings first: no CA and no list that cannot be read keeps out what ended. */
  async #take(desired: DesiredState, signal: AbortSignal): Promise<void> {
    const { roams } = this.#admission.policy;
    this.#admission.policy = policyOf(this.#config);
    this.#owed ||= roams && !this.#admission.policy.roams;
    this.#owed = this.#admission.replace(desired) || this.#owed;
    try {
      this.#trust = SmallTrust.of(desired, this.#since);
      this.#owed = this.#trustAuthorities() || this.#owed;
      this.#crls.recall(this.#trust.crls(), currentGeneration(this.#config.stateDir, "nginx"));
      this.#trustCrls();
    } finally {
      if (this.#owed) await this.#end(this.#flows.all(), signal);
    }
    this.#owed = false;
  }

  #settle(): void {
    this.#known = true;
    this.#ends.set(false);
  }

  #authorities(): string[] {
    return this.#trust.authorities(readFileSync(this.#config.registry.ca, "utf8"));
  }

  /** @returns true when a CA that was there is no more: with it goes what it signed */
  #trustAuthorities(): boolean {
    const before = this.#admission.authorityIds;
    this.#admission.trustAuthorities(this.#authorities(), this.#trust.authorityIds);
    return [...before].some((id) => !this.#trust.hasAuthority(id));
  }

  #trustCrls(): void {
    this.#admission.trustCrls(this.#crls.each(this.#trust.crls()));
  }

  #connections(): Promise<readonly Connection[]> {
    return (this.#options.connections ?? connectionsAt)(this.#ports);
  }

  #notePorts(): void {
    for (const port of Object.values(this.#config.gate.listeners)) this.#ports.add(port);
  }

  /** What was admitted by something that ended, or became another. */
  readonly #isOver = ({ flow, fingerprint, device, pattern, lane }: Owned): boolean => {
    if (this.#admission.registered(fingerprint)?.pattern !== pattern) return true;
    if (pattern === "both") return !this.#admission.bound(device, flow.family, flow.address);
    return lane === "ipcert" && !this.#admission.policy.roams;
  };

  async #endOf(differences: Differences["trust"], signal: AbortSignal): Promise<void> {
    const ended = differences.filter(hasEnded);
    const certificates = ended.filter(({ target }) => target === "certificate").map(({ id }) => id);
    const unbound = ended.some(({ target }) => target === "binding");
    if (certificates.length === 0 && !unbound) return;
    const candidates = unbound ? this.#flows.all() : certificates.flatMap((id) => this.#flows.of(id));
    await this.#end(candidates, signal);
  }

  /** Whose a connection is that was there before the agent nobody knows: it may be of what ends now. */
  async #end(candidates: readonly Owned[], signal: AbortSignal): Promise<void> {
    const flows = [...candidates.filter(this.#isOver).map(({ flow }) => flow), ...this.#flows.unknown];
    if (flows.length === 0) return;
    this.#ends.set(true);
    await this.#cut(flows, signal);
    this.#options.log.info({ connections: flows.length }, "Connections of what was revoked are cut");
  }

  /** First the firewall, which alone decides. Then this host's ends are closed, whether it did or not: they count for their source no more. */
  async #cut(flows: readonly Flow[], signal: AbortSignal): Promise<void> {
    if (flows.length === 0) return;
    try {
      await this.#flows.end(flows, this.#options.cut, signal);
    } finally {
      await this.#close(flows, signal);
    }
  }

  async #close(flows: readonly Flow[], signal: AbortSignal): Promise<void> {
    const { close = closeConnections, log } = this.#options;
    try {
      await close(this.#ports, flows, signal);
    } catch (err) {
      if (!signal.aborted)
        log.warn({ err }, "Cannot close connections that are cut; they count for their source until nginx gives them up");
    }
  }

  /** @throws TerminatorRefusedError when nginx refuses the configuration: the last good one stays in force */
  async #renew(signal: AbortSignal): Promise<void> {
    this.#revocations = null;
    if (this.#crls.missing(this.#trust.crls()).length > 0) this.#background.soon();
    const text = this.#crls.text(this.#trust.crls());
    const authorities = this.#authorities().join("");
    await serveFiles(this.#config, { authorities, revocations: text, crosses: this.#trust.crosses() }, signal);
    this.#revocations = { text };
  }

  /** Fetches what the feed could not carry, and reloads when that changes anything. */
  async #catchUpWithCrls(): Promise<void> {
    const { fetchCrl, signal } = this.#options;
    await this.#crls.fetch(() => this.#trust.crls(), fetchCrl, signal);
    this.#trustCrls();
    await this.#turns.take(async () => {
      if (this.#revocations?.text !== this.#crls.text(this.#trust.crls())) await this.#renew(signal);
    });
  }

  /** Lets go what ended by itself, ends what time ended, and keeps cut what nginx has not noticed. */
  async #tend(signal: AbortSignal): Promise<void> {
    this.#round++;
    await this.#flows.sweep(() => this.#connections());
    const over = this.#flows.all().filter(this.#isOver);
    // What ran out may have admitted any of them. What is taken away before its time has ended them already.
    const unknown = this.#trust.firstEnd <= this.#options.now() ? this.#flows.unknown : [];
    await this.#cut([...over.map(({ flow }) => flow), ...unknown], signal);
    const again = this.#round % CUT_AGAIN_ROUNDS === 0 ? this.#flows.over : [];
    if (again.length === 0) return;
    await this.#options.cut(again, signal);
    await this.#close(again, signal);
  }
}

/** Or became another. A binding with another end is one still, and whether that has come is asked when it does. */
const hasEnded = ({ target, applied, wanted }: Differences["trust"][number]): boolean =>
  wanted === null || (target !== "binding" && applied !== null);

const policyOf = ({ gate, terminator }: TerminatorSettings): AdmissionPolicy => ({
  expiredCrl: terminator.expiredCrl,
  roams: gate.lanes.roaming,
});
