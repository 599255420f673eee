import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { startProgram } from "./program.ts";

describe("the notifier", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-systemd-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Runs `code` with a notifier, and a stand-in for systemd-notify(1) that writes down one line per argument and exits so. */
  async function notify(code: string, options: { socket?: string; exit?: number; env?: object } = { socket: "/run/notify" }) {
    writeFileSync(join(folder, "systemd-notify"), `#!/bin/sh\nprintf '%s\\n' "$@" >>${folder}/said\nexit ${options.exit ?? 0}\n`, {
      mode: 0o755,
    });
    const { NOTIFY_SOCKET: _, ...rest } = process.env;
    const env = {
      ...rest,
      PATH: `${folder}:${process.env.PATH}`,
      ...(options.socket === undefined ? {} : { NOTIFY_SOCKET: options.socket }),
      ...options.env,
    };
    const program = startProgram(
      `import { createNotifier } from "lib:systemd";
       const notifier = createNotifier((error) => console.log("told: " + error));
       ${code}
       console.log(process.pid);`,
      env,
    );
    const { code: exit, stdout, stderr } = await program.ended;
    expect(exit, stderr).to.equal(0);
    const said = existsSync(join(folder, "said")) ? readFileSync(join(folder, "said"), "utf8") : "";
    return { said: said.replaceAll(String(program.process.pid), "PID"), told: stdout };
  }

  it("tells ready with a status, a status and stopping, through systemd's own binary", async () => {
    const { said } = await notify(`await notifier.ready("serving"); await notifier.status("7 rules"); await notifier.stopping();`);
    expect(said).to.equal("--ready\n--pid=PID\n--status=serving\n--pid=PID\n--status=7 rules\n--pid=PID\nSTOPPING=1\n");
  });

  it("feeds the watchdog, and tells a reload in one message with the time of the monotonic clock", async () => {
    const { said, told } = await notify(
      `const before = process.hrtime.bigint() / 1000n; await notifier.alive(); await notifier.reloading();
       console.log("from " + before + " to " + process.hrtime.bigint() / 1000n);`,
    );
    expect(said).to.match(/^--pid=PID\nWATCHDOG=1\n--pid=PID\nRELOADING=1\nMONOTONIC_USEC=\d+\n$/);
    const [, from, to] = /from (\d+) to (\d+)/.exec(told) ?? [];
    expect(Number(/USEC=(\d+)/.exec(said)?.[1])).to.be.within(Number(from), Number(to));
  });

  for (const [what, env, watchdogMs] of [
    ["as often as systemd asks for", { WATCHDOG_USEC: "30000000" }, "30000"],
    ["not where systemd does not ask", { WATCHDOG_USEC: "" }, "null"],
    ["not for another process", { WATCHDOG_USEC: "30000000", WATCHDOG_PID: "1" }, "null"],
  ] as const) {
    it(`is to feed the watchdog ${what}`, async () => {
      const { told } = await notify('console.log("every " + notifier.watchdogMs);', { socket: "/run/notify", env });
      expect(told).to.include(`every ${watchdogMs}\n`);
    });
  }

  it("cannot be made to say more than a status by a line break in it", async () => {
    const { said } = await notify(`await notifier.status("a\\nREADY=1\\r\\nSTOPPING=1");`);
    expect(said).to.equal("--pid=PID\n--status=a READY=1 STOPPING=1\n");
  });

  it("does nothing when no service manager asked", async () => {
    const { said, told } = await notify(`await notifier.ready("a"); await notifier.stopping();`, {});
    expect(said).to.equal("");
    expect(told).not.to.include("told:");
  });

  it("tells a failure and goes on", async () => {
    const { told } = await notify(`await notifier.ready("a"); await notifier.stopping();`, { socket: "/run/notify", exit: 3 });
    expect(told.match(/told: /g)).to.have.length(2);
    expect(told).to.include("systemd-notify exited with 3");
  });
});
