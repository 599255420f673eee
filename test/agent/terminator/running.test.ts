import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { runsAs } from "../../../agent/terminator/running.ts";
import { waitFor } from "../../lab/wait.ts";

describe("a terminator's process", () => {
  it("runs under its own name, and no longer once it is dead, whether anybody has waited for it or not", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-running-"));
    copyFileSync("/bin/sleep", join(folder, "haproxy"));
    // The shell makes room for one that never waits for its children.
    const script = `${join(folder, "haproxy")} 60 & echo $!; exec sleep 60`;
    const parent = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const [said] = (await once(parent.stdout, "data")) as [Buffer];
      const pid = Number(said.toString());
      await waitFor("it to run", () => runsAs(pid, "haproxy") || undefined);
      expect(runsAs(pid, "nginx")).to.equal(false);
      process.kill(pid, "SIGKILL");
      await waitFor("its death", () => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8")) || undefined);
      expect(runsAs(pid, "haproxy")).to.equal(false);
    } finally {
      // The dead one goes with its parent.
      parent.kill("SIGKILL");
      await once(parent, "close");
      rmSync(folder, { recursive: true });
    }
  });
});
