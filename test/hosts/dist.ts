import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BIN } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";

const TIMEOUT_MS = 300_000;

/** Packages of two builds of this tree: FOLDER/1 and FOLDER/2, with the same Node. */
export async function buildPackages(folder: string): Promise<void> {
  const node = `node-${process.arch === "arm64" ? "arm64" : "amd64"}`;
  for (const [build, only] of [
    ["1", `agent,registry,cli,${node}`],
    ["2", "agent,registry,cli"],
  ] as const) {
    const out = join(folder, build);
    mkdirSync(out, { recursive: true });
    await run([BIN.run, "scripts/package.ts", "--build", build, "--only", only, "--out", out], { timeoutMs: TIMEOUT_MS });
  }
  await run(["sh", "-ec", 'ln "$1"/1/entityos-node_*.deb "$1"/2/', "sh", folder]);
}
