import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { runsAs } from "../../../agent/terminator/running.ts";
import { waitFor } from "../../lab/wait.ts";
import { agentModule, seenByAgent } from "./hidden.ts";

describe("the process id that nginx left", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-left-"));
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, "terminator", "generation-1"), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  /** How many nginx the agent's user finds, or why it cannot tell. */
  const found = (pid: number | undefined, hidepid: "invisible" | "off") => {
    writeFileSync(join(folder, "terminator", "generation-1", "nginx.pid"), `${pid}\n`);
    return seenByAgent(
      `import { servingNginx } from ${agentModule("nginx-master.ts")};
      let said;
      try { said = servingNginx(${JSON.stringify(folder)}).length; } catch (error) { said = error.message; }
      console.log(JSON.stringify(said));`,
      hidepid,
    );
  };

  it("stands for no nginx when it went to another user's program, seen or hidden", async () => {
    // Root's.
    expect(await found(process.pid, "off")).to.equal(0);
    expect(await found(process.pid, "invisible")).to.equal(0);
  });

  it("is refused when it is an nginx of another user", async () => {
    const program = join(folder, "nginx");
    copyFileSync("/bin/sleep", program);
    const child = spawn(program, ["60"], { stdio: "ignore" });
    try {
      await waitFor("it to run", () => runsAs(child.pid ?? 0, "nginx") || undefined);
      expect(await found(child.pid, "off")).to.equal(`Cannot tell nginx (pid ${child.pid}) anything: it must run as the agent's own user`);
    } finally {
      child.kill("SIGKILL");
      await once(child, "close");
    }
  });
});
