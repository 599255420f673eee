import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { StateFile } from "../../agent/state.ts";
import { silentLog } from "../../lib/log.ts";
import { BIN } from "../lab/configs.ts";
import { identify } from "../lab/processes.ts";
import { waitFor } from "../lab/wait.ts";
import { copyAsCrashed } from "./crash-copy.ts";

const COPIES = 4;
/** A copy takes this long on a busy machine: the child has moved what it saved from one file to the other by then. */
const COPY_MS = 1_000;
const copySlowly: typeof copyFileSync = (from, to) => {
  copyFileSync(from, to);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, COPY_MS);
};

describe("a copy of an agent's state as a crash would leave it", function () {
  this.timeout(240_000);
  const folder = mkdtempSync(join(tmpdir(), "entityos-crash-"));
  const told = join(folder, "told");
  /** Resolves once a revision is saved that comes after this one. */
  const savedAfter = (revision: number) =>
    waitFor("another revision to be saved", () => (existsSync(told) && Number(readFileSync(told, "utf8")) > revision) || undefined, {
      timeoutMs: 60_000,
    });
  const child = spawn(BIN.run, ["test/faults/saving-child.ts", join(folder, "state.db"), told], { stdio: ["ignore", "ignore", "inherit"] });

  before(() => savedAfter(0));
  after(async () => {
    const ended = once(child, "close");
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });

  it("loads whole, whatever was being written", async () => {
    const agent = identify(child.pid ?? 0);
    if (agent === undefined) throw new Error("nobody writes");
    const revisions: number[] = [];
    for (let copy = 0; copy < COPIES; copy++) {
      const to = mkdtempSync(join(folder, "copy-"));
      await copyAsCrashed(agent, folder, to, copySlowly);
      using state = StateFile.open(join(to, "state.db"), "host1", silentLog);
      const { revision } = state.load({ widest4: 24, widest6: 64, rules: 10_000 }, null, silentLog);
      revisions.push(revision);
      await savedAfter(revision);
    }
    expect(revisions).not.to.include(0);
    expect(revisions).to.deep.equal([...new Set(revisions)].toSorted((a, b) => a - b));
  });
});
