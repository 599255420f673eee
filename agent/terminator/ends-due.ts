import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { terminatorFolder } from "./layout.ts";

/**
 * Whether something may have ended of which not all connections are known to be cut. It outlives the agent: what ended may be on disk
 * already, and the next agent then sees no difference. It need not outlive the host, so no disk is waited for: no connection does.
 */
export class EndsDue {
  readonly #file: string;
  #due: boolean;

  constructor(stateDir: string) {
    const folder = terminatorFolder(stateDir);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#file = join(folder, "ends-due");
    this.#due = existsSync(this.#file);
  }

  get due(): boolean {
    return this.#due;
  }

  set(due: boolean): void {
    if (due === this.#due) return;
    this.#due = due;
    try {
      if (due) writeFileSync(this.#file, "");
      else rmSync(this.#file, { force: true });
    } catch {
      // A disk that takes nothing holds up no cut.
    }
  }
}
