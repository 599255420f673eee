import { delay } from "../../lib/abort.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { Log } from "../../lib/log.ts";
import type { AgentConfig, GateConfig } from "../config.ts";
import { ANSWER_MS } from "./bounds.ts";
import { NftError, readNftError } from "./error.ts";
import { floorStructure } from "./floor-rules.ts";
import { NftProcess } from "./kept-open.ts";
import { structureCommands } from "./structure.ts";

const LOAD_TIMEOUT_MS = 10_000;
/** Longest wait for the floor of an agent that ended a moment ago to vanish with its owner. */
const START_WITHIN_MS = 5_000;
const RETRY_MIN_MS = 5;
const RETRY_MAX_MS = 1_000;

export interface FloorOptions {
  readonly config: Pick<AgentConfig, "gate">;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** The table is gone with its holder; another one is being made already. */
  readonly onLost: () => void;
  /** Command and arguments that nft is run through, such as `nsenter --net=…`; none by default. */
  readonly within?: readonly string[];
}

/** Table `inet entityos_floor` for as long as this lives; disposing takes it away. */
export interface Floor extends AsyncDisposable {
  readonly name: string;
  /** The table stands now. */
  readonly held: boolean;
  /** Process id of the nft that owns the table, null when none does. */
  readonly holder: number | null;
  /** Gates whose ports it covers. */
  readonly gates: readonly GateConfig[];
  /**
   * Covers the ports of these gates from now on, in one transaction.
   * @throws NftError; it then covers what it covered
   */
  cover(gates: readonly GateConfig[]): Promise<void>;
  /** Resolves when the holder answered; one that is hung is killed, and another made. @throws NftError when it does not */
  answers(signal: AbortSignal): Promise<void>;
}

/**
 * Resolves when the floor stands, and makes it anew whenever its holder dies.
 * @throws NftError when it cannot be made within 5 s: another process owns a table of that name, no permission, an nft without owner flag
 */
export async function startFloor(options: FloorOptions): Promise<Floor> {
  const floor = new HeldFloor(options);
  try {
    await floor.first(AbortSignal.any([options.signal, AbortSignal.timeout(START_WITHIN_MS)]));
  } catch (error) {
    await floor[Symbol.asyncDispose]();
    throw error;
  }
  floor.supervise();
  return floor;
}

class HeldFloor implements Floor {
  readonly name = "floor";
  readonly #options: FloorOptions;
  readonly #backoff = new Backoff({ minMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  #process: NftProcess | null = null;
  #gates: readonly GateConfig[];
  /** One exchange with the holder at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #supervision: Promise<void> = Promise.resolve();

  constructor(options: FloorOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#ending.signal]);
    this.#gates = [options.config.gate];
  }

  get gates(): readonly GateConfig[] {
    return this.#gates;
  }

  async cover(gates: readonly GateConfig[]): Promise<void> {
    const before = this.#gates;
    // A holder that dies meanwhile is followed by one that covers both.
    this.#gates = [...before, ...gates];
    try {
      const script = structureCommands(floorStructure(gates)).join("; ");
      const output = await this.#exchange(script, LOAD_TIMEOUT_MS, this.#signal);
      if (output !== "") throw readNftError(output);
      this.#gates = gates;
    } catch (error) {
      this.#gates = before;
      throw error;
    }
  }

  get held(): boolean {
    return this.#process?.alive ?? false;
  }

  get holder(): number | null {
    return this.held ? (this.#process?.pid ?? null) : null;
  }

  async answers(signal: AbortSignal): Promise<void> {
    await this.#exchange("", ANSWER_MS, signal);
  }

  #exchange(script: string, timeoutMs: number, signal: AbortSignal): Promise<string> {
    const turn = this.#last.then(() => {
      if (this.#process === null) throw new NftError("gone", "nobody holds the floor");
      return this.#process.exchange(script, { timeoutMs, signal });
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Tries until it stands; rejects with the last error when the signal aborts. */
  async first(signal: AbortSignal): Promise<void> {
    let last: unknown = null;
    while (!signal.aborted) {
      try {
        this.#process = await this.#hold();
        return;
      } catch (error) {
        last = error;
        if (error instanceof NftError && (error.kind === "syntax" || error.kind === "unusable")) throw error;
        await delay(this.#backoff.next(), signal).catch(() => {});
      }
    }
    throw last ?? signal.reason;
  }

  supervise(): void {
    this.#supervision = this.#supervise();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new NftError("gone", "the floor is given up"));
    this.#process?.kill();
    await this.#process?.closed;
    await this.#supervision;
  }

  async #supervise(): Promise<void> {
    while (!this.#signal.aborted) {
      await this.#process?.closed;
      if (this.#signal.aborted) return;
      this.#options.log.error({}, "The floor's holder ended; the floor is made anew");
      this.#options.onLost();
      await this.#again();
    }
  }

  async #again(): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        this.#process = await this.#hold();
        this.#backoff.reset();
        return;
      } catch (error) {
        const waitMs = this.#backoff.next();
        this.#options.log.error({ err: error, waitMs }, "Cannot make the floor, trying again");
        await delay(waitMs, this.#signal).catch(() => {});
      }
    }
  }

  async #hold(): Promise<NftProcess> {
    const holder = new NftProcess(this.#options.within ?? [], []);
    try {
      const script = structureCommands(floorStructure(this.#gates)).join("; ");
      const output = await holder.exchange(script, { timeoutMs: LOAD_TIMEOUT_MS, signal: this.#signal });
      if (output !== "") throw readNftError(output);
      return holder;
    } catch (error) {
      holder.kill();
      await holder.closed;
      throw error;
    }
  }
}
