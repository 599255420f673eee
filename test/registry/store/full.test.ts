import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";

describe("Storage on a full disk", () => {
  it("rejects every write of the batch, wakes nobody, and goes on when there is room again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "entityos-full-"));
    const child = join(import.meta.dirname, "full.child.ts");
    try {
      // The small disk lives in a mount namespace of its own and vanishes with the child.
      const script = 'mount -t tmpfs -o size=4m,mode=0700 none "$1" && exec "$2" --disable-warning=ExperimentalWarning "$3" "$1"';
      const args = ["--mount", "sh", "-c", script, "sh", folder, process.execPath, child];
      const { stdout } = await promisify(execFile)("unshare", args, { timeout: 25_000, killSignal: "SIGKILL" });
      expect(JSON.parse(stdout)).to.deep.equal({
        before: ["written", "written"],
        full: ["storage_unavailable", "storage_unavailable", "storage_unavailable"],
        large: "storage_unavailable",
        after: ["written", "written"],
        keys: ["after 1", "after 2", "before 1", "before 2"],
        wakesWhileFull: 1,
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
