import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NftAtFifos } from "../../agent/nft/fifo.ts";
import { floorProgram } from "../../agent/systemd/units.ts";
import { waitFor } from "../lab/wait.ts";

/** The program of entityos-floor.service inside a namespace, beside an agent whose folder this is. Disposing kills it. */
export async function startHolder(within: readonly string[], folder: string): Promise<AsyncDisposable> {
  const ground = join(folder, "ground");
  mkdirSync(ground, { recursive: true, mode: 0o700 });
  const program = join(ground, "hold");
  writeFileSync(program, floorProgram(ground, join(folder, "state", "ground.nft")), { mode: 0o700 });
  // Not an nft among this process's children, where an agent's own are looked for.
  const child = spawn("sh", ["-c", '"$@"; :', "sh", ...within, program], { detached: true, stdio: "ignore" });
  const closed = once(child, "close");
  await waitFor("the floor's holder", () => {
    using nft = NftAtFifos.open(ground);
    return nft === null ? undefined : true;
  });
  return {
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? 0), "SIGKILL");
      await closed;
    },
  };
}
