import { existsSync, readFileSync } from "node:fs";
import { delay } from "../../lib/abort.ts";
import { writeFileAtomic } from "../../lib/file.ts";
import { DesiredState } from "../desired.ts";
import type { Differences } from "../target.ts";
import { Background } from "./background.ts";
import { checkConfiguration } from "./check.ts";
import { CrlTexts } from "./crls.ts";
import { certificateEntries, SmallTrust, sortChanges, type TrustChanges } from "./desired-trust.ts";
import type { IsBound } from "./endings.ts";
import { EndsDue } from "./ends-due.ts";
import { certificateKey, goneEntry, seconds } from "./entries.ts";
import { exchangeCrls, goBack, keepTakenBack, sweepFailed } from "./failed-try.ts";
import { appendMap, currentGeneration, hasLane, replaceMap, sweepGenerations, useGeneration, writeGeneration } from "./generation.ts";
import { renderHaproxy, USUAL_LENGTHS } from "./haproxy-config.ts";
import { type Layout, terminatorFolder } from "./layout.ts";
import { Live, type Whole } from "./live.ts";
import { NotTakenError } from "./master.ts";
import { presentCertificate } from "./presented.ts";
import { type Terminator, type TerminatorOptions, type TerminatorSettings, Turns } from "./settings.ts";
import { Tending } from "./tending.ts";

/** Certificates that were taken back since the generation was written; beyond it a new one is written. */
const MAX_GONE = 10_000;
/** Bindings that are told to HAProxy one by one; beyond it a new generation is written. */
const MAX_BINDINGS = 500;
/** A list that HAProxy takes on its command line, characters of PEM; a larger one needs a reload. */
const MAX_RUNTIME_CRL = 12_000;
/** Reloads for large CRLs come no closer than this: the maps decide on revocation meanwhile. */
const CRL_RELOAD_MS = 10_000;
/** How often it is looked for an HAProxy that was told nothing, until there is one. */
const MEET_MS = 100;

/**
 * HAProxy's trust as a target of the reconciler: CAs, CRLs, registered certificates and bindings. The disk is as new as HAProxy's memory
 * or newer, so one that starts by itself knows of every revocation. When none runs nobody is let in, and the files alone are kept.
 */
export class HaproxyTarget implements Terminator {
  readonly name = "haproxy";
  readonly trustAlone = true;
  readonly #options: TerminatorOptions;
  #config: TerminatorSettings;
  readonly #live: Live;
  readonly #ends: EndsDue;
  readonly #crls = new CrlTexts();
  #trust = new SmallTrust();
  #layout: Layout | null = null;
  /** The last generation that HAProxy has taken. */
  #good: Layout | null = null;
  /** What was last shown whole. */
  #desired = new DesiredState();
  /** Which state the trust is of; null where differences made another of it since. */
  #name: string | null = null;
  #lengths = "";
  /** Keys of what was taken back since the generation was written: it has a line for each, which nothing takes out again. */
  readonly #gone = new Set<string>();
  /** CRLs that HAProxy has, or reads when it starts; undefined while that is not known. */
  #given: string | null | undefined;
  readonly #turns = new Turns();
  readonly #background: Background;
  readonly #meeting: Background;
  readonly #tending: Tending;
  /** Registry time up to which bindings that ran out are dealt with. */
  #tendedAt = Number.NEGATIVE_INFINITY;

  constructor(options: TerminatorOptions) {
    const { log } = options;
    this.#options = options;
    this.#config = options.config;
    this.#ends = new EndsDue(options.config.stateDir);
    const { terminator, stateDir } = options.config;
    this.#live = new Live({
      socketPath: terminator.masterSocket,
      folder: terminatorFolder(stateDir),
      cut: options.cut,
      ends: this.#ends,
      log,
    });
    this.#background = new Background(
      (signal) => this.#catchUpWithCrls(signal),
      options.crlReloadMs ?? CRL_RELOAD_MS,
      options.signal,
      (error) =>
        log.error({ alarm: "crl", err: error }, "Cannot renew a large CRL; the last one stays, and registered certificates decide"),
    );
    this.#meeting = new Background(
      (signal) => this.#meet(signal),
      MEET_MS,
      options.signal,
      (error) => log.warn({ err: error }, "Cannot tell an HAProxy that was starting what changed meanwhile; trying again"),
    );
    this.#tending = new Tending(options, (tending) => this.#turns.take(() => this.#endOver(tending)));
  }

  configure(config: TerminatorSettings): void {
    this.#config = config;
    this.#live.forget();
  }

  /** A new generation from the whole state, and a reload in which no connection is refused. */
  resync(desired: DesiredState, signal: AbortSignal): Promise<void> {
    return this.#turns.take(() => {
      // Both at one time: what is desired may be newer before it is in force.
      this.#name = `${desired.epoch} ${desired.revision}`;
      // It may tell of what ran out before anybody looked.
      this.#tendedAt = Number.NEGATIVE_INFINITY;
      return this.#renew(desired, SmallTrust.of(desired), signal);
    });
  }

  apply(desired: DesiredState, { trust: differences }: Differences, signal: AbortSignal): Promise<void> {
    return this.#turns.take(async () => {
      const layout = this.#layout;
      if (layout === null) throw new Error("Cannot apply differences before a resync");
      if (differences.length === 0) return;
      // Of certificates as they were: what ends with its binding may be of one that ends too.
      const unbound = differences.flatMap(({ target, id, wanted }) => (target === "binding" && wanted === null ? [id] : []));
      const ended = unbound.map(this.#trust.withNumbers);
      this.#name = null;
      for (const { target, id, wanted } of differences) this.#trust.take(target, id, wanted);
      const changes = sortChanges(differences, this.#trust);
      // Part of it may be done from here on: only a resync knows HAProxy again.
      this.#layout = null;
      // Written before anything is told, durable before it counts as applied: who waits for a disk before a revocation is late.
      using written = this.#writeMaps(layout, changes);
      await this.#live.change(changes, ended, changes.bindings.length <= MAX_BINDINGS, this.#isBound, signal);
      if (written.failure !== null) throw written.failure;
      if (this.#needsGeneration(layout, changes)) return await this.#renew(desired, this.#trust, signal);
      this.#layout = layout;
      if (changes.crlsChanged) await this.#renewCrls(layout, signal);
      if (this.#live.missed) this.#meeting.soon();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tending[Symbol.asyncDispose]();
    await this.#background[Symbol.asyncDispose]();
    await this.#meeting[Symbol.asyncDispose]();
    await this.#turns.done();
  }

  /** Until an HAProxy is found that knows what the files say, or a resync is due, which makes sure of that. */
  async #meet(signal: AbortSignal): Promise<void> {
    const isMet = async () => this.#layout === null || (await this.#live.meet(this.#layout.folder, this.#whole(), signal));
    while (!(await this.#turns.take(isMet))) await delay(MEET_MS, signal);
  }

  #whole(): Whole {
    const [desired, trust] = [this.#desired, this.#trust];
    return {
      certificates: () => certificateEntries(desired, trust),
      bindings: () => trust.bindings(),
      withNumbers: trust.withNumbers,
      isBound: this.#isBound,
    };
  }

  readonly #isBound: IsBound = (device, family, address) => this.#trust.holds(device, family, address, this.#options.now());

  /** What ran out, and nobody said so: while the registry is away. Only what was under way: each request looks at the end itself. */
  async #endOver(signal: AbortSignal): Promise<void> {
    const now = this.#options.now();
    const ended = this.#trust.ranOut(this.#tendedAt, now).map(this.#trust.withNumbers);
    await this.#live.endOver(seconds(now), ended, this.#isBound, signal);
    this.#tendedAt = now;
  }

  /**
   * @throws TerminatorRefusedError when HAProxy refuses the configuration: the last good one stays in force. Like a disk that takes
   *   nothing it keeps no revocation back: what is wanted no more is taken from the workers that run.
   */
  async #renew(desired: DesiredState, trust: SmallTrust, signal: AbortSignal): Promise<void> {
    this.#layout = null;
    this.#trust = trust;
    this.#desired = desired;
    try {
      await this.#makeGeneration(signal);
    } catch (error) {
      try {
        const whole = this.#whole();
        const keep = (gone: ReadonlySet<string>) => keepTakenBack(this.#config.stateDir, gone, whole);
        if (!signal.aborted) await this.#live.takeBack(whole, this.#name, keep, signal);
      } finally {
        sweepFailed(this.#config.stateDir, this.#good);
      }
      throw error;
    }
    if (this.#live.missed) this.#meeting.soon();
  }

  async #makeGeneration(signal: AbortSignal): Promise<void> {
    const [config, desired, trust] = [this.#config, this.#desired, this.#trust];
    this.#given = undefined;
    const last = currentGeneration(config.stateDir, "haproxy");
    this.#good ??= last;
    this.#crls.recall(trust.crls(), last);
    if (this.#crls.missing(trust.crls()).length > 0) this.#background.soon();
    const revocations = this.#crls.text(trust.crls());
    const lengths = trust.lengths(USUAL_LENGTHS);
    const layout = writeGeneration(config.stateDir, "haproxy", {
      config: (own) => {
        const terminator = presentCertificate(config, own, trust.crosses());
        return renderHaproxy({ ...config, terminator }, { layout: own, lengths, revocations: revocations !== null });
      },
      authorities: trust.authorities(readFileSync(config.registry.ca, "utf8")).join(""),
      revocations,
      maps: { certificates: certificateEntries(desired, trust), bindings: trust.bindings() },
    });
    await checkConfiguration("haproxy", layout, signal);
    // Workers that are replaced go by their own configuration: with them goes on what certificates from anywhere have under way.
    if (hasLane(this.#good, "roaming") && !config.gate.lanes.roaming) this.#ends.set(true);
    useGeneration(config.stateDir, layout);
    const whole = this.#whole();
    const onTaken = () => {
      this.#good = layout;
    };
    try {
      await this.#live.reload(whole, signal, onTaken);
    } catch (error) {
      // One that starts anew would not take it either: a port that another program has is found by no check.
      if (error instanceof NotTakenError && this.#good !== null) goBack(config.stateDir, this.#good, whole);
      throw error;
    }
    sweepGenerations(config.stateDir, [layout, last]);
    this.#layout = layout;
    this.#good = layout;
    this.#given = revocations;
    this.#lengths = JSON.stringify(lengths);
    this.#gone.clear();
  }

  /** A disk that takes nothing is no reason not to tell: `failure` is for afterwards. */
  #writeMaps(layout: Layout, { gone, registered, bindings }: TrustChanges): Disposable & { readonly failure: unknown } {
    using stack = new DisposableStack();
    let failure: unknown = null;
    try {
      stack.use(appendMap(layout.gone, gone.map(goneEntry)));
      stack.use(appendMap(layout.certificates, registered));
      if (bindings.length > 0) stack.use(replaceMap(layout.bindings, this.#trust.bindings()));
    } catch (error) {
      failure = error;
    }
    for (const fingerprint of gone) this.#gone.add(certificateKey(fingerprint));
    const durable = stack.move();
    return { failure, [Symbol.dispose]: () => durable[Symbol.dispose]() };
  }

  #needsGeneration(layout: Layout, changes: TrustChanges): boolean {
    return (
      changes.authoritiesChanged ||
      // A line cannot be changed where it stands.
      changes.altered.length > 0 ||
      changes.bindings.length > MAX_BINDINGS ||
      this.#gone.size > MAX_GONE ||
      changes.registered.some(({ key }) => this.#gone.has(key)) ||
      JSON.stringify(this.#trust.lengths(USUAL_LENGTHS)) !== this.#lengths ||
      (this.#crls.text(this.#trust.crls()) !== null) !== existsSync(layout.revocations)
    );
  }

  /** Small lists at once, large ones by a reload. */
  async #renewCrls(layout: Layout, signal: AbortSignal): Promise<void> {
    const crls = this.#trust.crls();
    const text = this.#crls.text(crls);
    if (this.#crls.missing(crls).length > 0 || (text?.length ?? 0) > MAX_RUNTIME_CRL) {
      this.#background.soon();
    } else if (text !== null) {
      this.#given = undefined;
      writeFileAtomic(layout.revocations, text);
      await this.#live.setCrl(layout, text, signal);
      this.#given = text;
    }
  }

  /** Fetches what the feed could not carry, and reloads when that changes anything. */
  async #catchUpWithCrls(signal: AbortSignal): Promise<void> {
    const { fetchCrl } = this.#options;
    await this.#crls.fetch(() => this.#trust.crls(), fetchCrl, signal);
    await this.#turns.take(async () => {
      const layout = this.#layout;
      const text = this.#crls.text(this.#trust.crls());
      if (layout !== null && text === this.#given) return;
      // Without a list so far, the configuration names none. What failed is tried until it succeeds.
      if (layout === null || text === null || !existsSync(layout.revocations)) return await this.#renew(this.#desired, this.#trust, signal);
      this.#given = undefined;
      await exchangeCrls(layout, text, signal);
      await this.#live.reload(null, signal);
      this.#given = text;
      if (this.#live.missed) this.#meeting.soon();
    });
  }
}
