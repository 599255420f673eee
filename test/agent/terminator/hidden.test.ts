import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { createMaster } from "../../../agent/terminator/master.ts";
import { lives, runsAs } from "../../../agent/terminator/running.ts";
import { waitFor } from "../../lab/wait.ts";
import { agentModule, seenByAgent, startHidden } from "./hidden.ts";

const NOBODY = 65_534;

describe("a terminator that a host hides from the agent", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-hidden-"));
    chmodSync(folder, 0o755);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is known to live, whoever's it is, and no longer once it is dead", async () => {
    const program = join(folder, "haproxy");
    copyFileSync("/bin/sleep", program);
    const seen = (pid: number) =>
      seenByAgent(`import { lives, runsAs } from ${agentModule("running.ts")};
        console.log(JSON.stringify([runsAs(${pid}, "haproxy"), lives(${pid}, "haproxy")]));`);
    await using hidden = await startHidden([program, "60"]);
    await waitFor("it to run", () => runsAs(hidden.pid, "haproxy") || undefined);
    expect(await seen(hidden.pid)).to.deep.equal([null, true]);
    // Root's, and as hidden: it may not be signalled, so it is there.
    expect(await seen(process.pid)).to.deep.equal([null, true]);
    await hidden[Symbol.asyncDispose]();
    expect(await seen(hidden.pid)).to.deep.equal([null, false]);
    expect(lives(hidden.pid, "haproxy")).to.equal(false);
  });

  it("is waited for while it is reloaded, and the worker that it replaces is still known", async () => {
    const [config, socket] = [join(folder, "haproxy.cfg"), join(folder, "master.sock")];
    chownSync(folder, NOBODY, NOBODY);
    // A connection of which nobody knows yet what it wants keeps the worker that is replaced.
    const held = " tcp-request inspect-delay 1m\n tcp-request content accept if { req.len gt 100 }";
    writeFileSync(config, `defaults\n timeout client 1m\n mode tcp\nfrontend held\n bind unix@${folder}/held.sock\n${held}\n`);
    await using hidden = await startHidden(["haproxy", "-W", "-S", `${socket},mode,600`, "-f", config]);
    const master = createMaster(socket);
    const asked = () => master.command("show proc", { signal: AbortSignal.timeout(1_000) }).catch(() => "");
    await waitFor("HAProxy to serve", async () => /^\d+\s+worker/m.test(await asked()) || undefined);
    const workers = await seenByAgent(`import { connect } from "node:net";
      import { once } from "node:events";
      import { WorkerList } from ${agentModule("workers.ts")};
      const held = connect("${folder}/held.sock");
      await once(held, "connect");
      const list = new WorkerList("${socket}");
      const { signal } = new AbortController();
      const before = await list.look(signal);
      const after = await list.reload(signal);
      console.log(JSON.stringify({ before: before.current, old: after?.old ?? null, isAnother: after?.current !== before.current }));
      held.destroy();`);
    const { before } = workers as { before: number };
    expect(workers).to.deep.equal({ before, old: [before], isAnother: true });
    expect(before).to.be.greaterThan(0);
    expect(runsAs(hidden.pid, "haproxy")).to.equal(true);
  });
});
