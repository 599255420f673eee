import { rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/file.ts";
import { GROUND_TABLE, PATH } from "../../lib/service.ts";
import type { AgentConfig, GateConfig } from "../config.ts";
import { readNftError } from "./error.ts";
import { NftAtFifos } from "./fifo.ts";
import { floorStructure } from "./floor-rules.ts";
import { structureCommands } from "./structure.ts";

const TIMEOUT_MS = 10_000;

export type GroundSource = Pick<AgentConfig, "stateDir" | "groundDir">;

/**
 * Table `inet entityos_ground`: the floor's rules, owned by the nft of entityos-floor.service. It is there while no agent is, so that a
 * flush in that moment opens nothing. Its holder reads the rules from the agent's state when it starts.
 */
export class Ground {
  readonly #file: string;
  readonly #folder: string;

  constructor({ stateDir, groundDir }: GroundSource) {
    this.#file = join(stateDir, PATH.groundRulesName);
    this.#folder = groundDir;
  }

  /** Somebody holds it, or would if it were told what. */
  get held(): boolean {
    using nft = NftAtFifos.open(this.#folder);
    return nft !== null;
  }

  /**
   * Covers the ports of these gates from now on, in one transaction, and after its holder's next start.
   * @throws NftError when the holder does not do it, the file system's error
   */
  async cover(gates: readonly GateConfig[], signal: AbortSignal): Promise<void> {
    const commands = structureCommands(floorStructure(gates, GROUND_TABLE));
    writeFileAtomic(this.#file, `${commands.join("\n")}\n`);
    await this.#tell(commands.join("; "), signal);
  }

  /** Takes it away: in the open zone nothing is closed. @throws as {@link cover} */
  async release(signal: AbortSignal): Promise<void> {
    rmSync(this.#file, { force: true });
    await this.#tell(`add table inet ${GROUND_TABLE}; delete table inet ${GROUND_TABLE}`, signal);
  }

  async #tell(script: string, signal: AbortSignal): Promise<void> {
    using nft = NftAtFifos.open(this.#folder);
    if (nft === null) return;
    const output = await nft.exchange(script, { timeoutMs: TIMEOUT_MS, signal });
    if (output !== "") throw readNftError(output);
  }
}
