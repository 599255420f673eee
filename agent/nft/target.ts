import type { Log } from "../../lib/log.ts";
import { FLOOR_TABLE, TABLE } from "../../lib/service.ts";
import type { DesiredState } from "../desired.ts";
import type { Difference, Differences, Flow, Target } from "../target.ts";
import { type ExchangeOptions, SPAWNED_MS } from "./bounds.ts";
import { type Nft, startNft } from "./child.ts";
import { type Comparison, compareSets } from "./compare.ts";
import { cutScripts } from "./cut.ts";
import { differenceScripts, lifeSeconds, MAX_DIFFERENCES, placeOf } from "./elements.ts";
import { NftError, type NftErrorKind } from "./error.ts";
import { type GateSource, gateStructure, lookupChains } from "./gate.ts";
import { listStanding, type Standing } from "./listing.ts";
import { ElementLoad, Part } from "./load.ts";
import { asOwn, OWN_CHAIN } from "./own.ts";
import { type Slot, setName, slotOf, type Tuple, tupleSet, USUAL_TUPLES } from "./sets.ts";
import { addSet, refill, structureCommands } from "./structure.ts";

/** Errors that a standing table can be the reason of: someone changed it in a way that is in the way. */
const ABOUT_THE_TABLE: readonly NftErrorKind[] = ["missing", "exists", "busy", "full", "unknown"];

export interface NftTargetOptions {
  readonly config: GateSource;
  /** Registry time, integer milliseconds. */
  readonly now: () => number;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Command and arguments that nft is run through, such as `nsenter --net=…`; none by default. */
  readonly within?: readonly string[];
  /** Called before so many elements are written. */
  readonly onLoad?: (elements: number) => void;
  /** Stands in for the kept-open nft; stays open when the target is disposed. */
  readonly nft?: Nft;
}

/**
 * Table `inet entityos` as a target of the reconciler. Disposing leaves the table in the kernel: it outlives the agent.
 * @throws NftError when nft cannot be used here
 */
export async function startNftTarget(options: NftTargetOptions): Promise<NftTarget> {
  const { nft } = options;
  if (nft !== undefined) return new NftTarget(options, nft, async () => {});
  const own = await startNft(options);
  return new NftTarget(options, own, async () => {
    await own[Symbol.asyncDispose]();
  });
}

/**
 * Deletes both tables and nothing else. Absent ones are no error.
 * @throws NftError permission: not root, or a running agent holds the floor
 */
export async function removeGate(options: { readonly log: Log; readonly within?: readonly string[] }): Promise<void> {
  const signal = AbortSignal.timeout(SPAWNED_MS);
  await using nft = await startNft({ ...options, signal });
  for (const table of [FLOOR_TABLE, TABLE]) {
    await nft.run(`delete table inet ${table}`, { timeoutMs: SPAWNED_MS, signal }).catch((error: unknown) => {
      if (!(error instanceof NftError && error.kind === "missing")) throw error;
    });
  }
}

/** What the kernel holds as far as this process knows. */
interface Known {
  /** What its structure was made from. */
  readonly config: GateSource;
  readonly slot: Slot;
  /** By set name: every tuple whose set is there and looked into. */
  readonly tuples: Map<string, Tuple>;
}

export class NftTarget implements Target, AsyncDisposable {
  readonly name = "nft";
  readonly trustAlone = false;
  readonly #options: NftTargetOptions;
  readonly #nft: Nft;
  readonly #close: () => Promise<void>;
  #config: GateSource;
  #known: Known | null = null;

  constructor(options: NftTargetOptions, nft: Nft, close: () => Promise<void>) {
    this.#options = options;
    this.#nft = nft;
    this.#close = close;
    this.#config = options.config;
  }

  /** The gate that the next resync makes; until then the one that stands is kept as it is. */
  configure(config: GateSource): void {
    this.#config = config;
  }

  async resync(desired: DesiredState, signal: AbortSignal): Promise<void> {
    const bounds = { timeoutMs: SPAWNED_MS, signal };
    this.#known = null;
    const standing = await listStanding(this.#nft, bounds);
    if (standing.slot === null) {
      this.#known = await this.#fill(desired, standing, "a", false, bounds);
      return;
    }
    const next = standing.slot === "a" ? "b" : "a";
    try {
      this.#known = await this.#fill(desired, standing, next, true, bounds);
    } catch (error) {
      if (!(error instanceof NftError) || !ABOUT_THE_TABLE.includes(error.kind)) throw error;
      this.#options.log.warn({ err: error }, "Cannot renew the standing table; it is replaced whole");
      this.#known = await this.#fill(desired, standing, "a", false, bounds);
    }
  }

  async apply(_desired: DesiredState, { rules }: Differences, signal: AbortSignal): Promise<void> {
    if (this.#config.zone === "open") return;
    const known = this.#known;
    if (known === null) throw new Error("Cannot apply differences before a resync");
    const bounds = { timeoutMs: SPAWNED_MS, signal };
    const { now } = this.#options;
    const present = (tuple: Tuple) => known.tuples.has(setName(tuple, known.slot));
    try {
      await this.#addTuples(known, rules, now(), bounds);
      for (let at = 0; at < rules.length; at += MAX_DIFFERENCES) {
        const some = rules.slice(at, at + MAX_DIFFERENCES);
        await this.#runTwice(() => differenceScripts(some, known.slot, now(), present).join("\n"), bounds);
      }
    } catch (error) {
      // Part of it may be done: only a resync knows the kernel again.
      this.#known = null;
      throw error;
    }
  }

  /**
   * Compares the kernel's elements with the rules, off the path of changes.
   * @param upTo sets of more elements are left out
   * @returns null when there is nothing to compare
   */
  async compare(desired: DesiredState, upTo: number, signal: AbortSignal): Promise<Comparison | null> {
    const known = this.#known;
    if (known === null || known.config.zone === "open") return null;
    const { now, within = [] } = this.#options;
    const compared = await compareSets({
      ...{ rules: () => desired.rules(), tuples: [...known.tuples.values()], slot: known.slot, upTo, now, within, signal },
    });
    // A resync meanwhile filled the other slot's sets: what was read is gone.
    return this.#known === known ? compared : null;
  }

  /** Ends flows, both ways and at once, for as long as either end may still try. @throws NftError */
  async cut(flows: readonly Flow[], signal: AbortSignal): Promise<void> {
    for (const script of cutScripts(flows)) await this.#runTwice(() => script, { timeoutMs: SPAWNED_MS, signal });
  }

  /** Resolves when the kept-open nft answered, in turn after what it is given already. @throws NftError when it does not */
  async answers(signal: AbortSignal): Promise<void> {
    await this.#nft.run("", { timeoutMs: SPAWNED_MS, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  /**
   * For scripts that done twice are done once: when nft dies or hangs over one, a fresh nft is given it, without a resync.
   * @param render called each time, as lives count from the moment that they are written
   */
  async #runTwice(render: () => string, bounds: ExchangeOptions): Promise<void> {
    try {
      await this.#nft.run(render(), bounds);
    } catch (error) {
      if (!(error instanceof NftError) || (error.kind !== "gone" && error.kind !== "timeout")) throw error;
      this.#options.log.warn({ err: error }, "nft did not answer; a fresh one makes the change again");
      await this.#nft.run(render(), bounds);
    }
  }

  /** Sets for prefix lengths that were not in use before, and the rules that look into them, in one transaction. */
  async #addTuples(known: Known, pending: readonly Difference[], nowMs: number, bounds: ExchangeOptions): Promise<void> {
    const added = new Map<string, Tuple>();
    for (const { lane, prefix, wanted } of pending) {
      if (wanted === null || lifeSeconds(wanted, nowMs) === null) continue;
      const { tuple } = placeOf(lane, prefix);
      const name = setName(tuple, known.slot);
      if (!known.tuples.has(name)) added.set(name, tuple);
    }
    if (added.size === 0) return;
    const tuples = [...known.tuples.values(), ...added.values()];
    const commands = [
      ...[...added.values()].map((tuple) => addSet(TABLE, tupleSet(tuple, known.slot))),
      ...lookupChains(known.config.gate, tuples, known.slot).flatMap((chain) => refill(TABLE, chain)),
    ];
    await this.#runTwice(() => asOwn(commands).join("\n"), bounds);
    for (const [name, tuple] of added) known.tuples.set(name, tuple);
  }

  /**
   * Loads all elements into the sets of `slot` and has the rules look there. While a table of ours stands, its rules and the other
   * slot's sets serve until one transaction switches over. Otherwise the first transaction replaces whatever stands by a closed gate
   * with the first elements.
   */
  async #fill(desired: DesiredState, standing: Standing, slot: Slot, stands: boolean, bounds: ExchangeOptions): Promise<Known> {
    const { now } = this.#options;
    const config = this.#config;
    this.#options.onLoad?.(desired.size);
    const load = new ElementLoad(config.zone === "open" ? [] : desired.rules(), slot, now);
    const tuples = new Map(USUAL_TUPLES.map((tuple) => [setName(tuple, slot), tuple]));
    const run = (commands: readonly string[]) => this.#nft.run(commands.join("\n"), bounds);
    let part = load.next();
    let looked = 0;
    if (stands) await run(sweepSets(standing.sets, slot));
    else {
      const first = part ?? new Part(slot, new Map());
      for (const [name, tuple] of first.tuples) tuples.set(name, tuple);
      looked = tuples.size;
      let before: readonly string[] | null = replaceBy(config, tuples, slot);
      await load.run(first, async ({ commands }) => {
        await run(before === null ? commands : asOwn([...before, ...commands]));
        before = null;
      });
      part = load.next();
    }
    while (part !== null) {
      for (const [name, tuple] of part.tuples) tuples.set(name, tuple);
      const running = load.run(part, ({ commands }) => run(commands));
      // Rendered while nft works.
      part = load.next();
      await running;
    }
    if (looked !== tuples.size) await run(asOwn(switchOver(config, standing, tuples, slot, stands)));
    return { config, slot, tuples };
  }
}

function replaceBy(config: GateSource, tuples: ReadonlyMap<string, Tuple>, slot: Slot): string[] {
  return [`delete table inet ${TABLE}`, ...structureCommands(gateStructure(config, [...tuples.values()], slot))];
}

/** The rules of all chains anew, and everything away that they do not name: the old slot's sets, chains of others. */
function switchOver(config: GateSource, standing: Standing, tuples: ReadonlyMap<string, Tuple>, slot: Slot, stands: boolean): string[] {
  const structure = gateStructure(config, [...tuples.values()], slot);
  const commands = structureCommands(structure);
  if (!stands) return commands;
  const named = new Set([OWN_CHAIN, ...structure.chains.map(({ name }) => name)]);
  const others = standing.chains.filter((name) => !named.has(name));
  return [
    ...commands,
    ...others.map((name) => `flush chain inet ${TABLE} ${name}`),
    ...others.map((name) => `delete chain inet ${TABLE} ${name}`),
    ...sweepSets(standing.sets, slot === "a" ? "b" : "a"),
  ];
}

/** Takes a slot's sets away. */
function sweepSets(sets: readonly string[], slot: Slot): string[] {
  return [`add table inet ${TABLE}`, ...sets.filter((name) => slotOf(name) === slot).map((name) => `delete set inet ${TABLE} ${name}`)];
}
