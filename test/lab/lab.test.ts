import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { expect } from "chai";
import { BIN } from "./configs.ts";
import { CommandError, inNetns, run } from "./exec.ts";
import { removeLab } from "./folder.ts";
import type { LabDescription } from "./lab.ts";
import { traces } from "./traces.ts";

const NAME = `t-lab-${process.pid}`;
const TIMEOUT_MS = 180_000;
const lab = (...args: string[]): Promise<string> => run([BIN.run, "test/lab/main.ts", ...args, "--name", NAME], { timeoutMs: TIMEOUT_MS });

async function refusal(command: Promise<string>): Promise<CommandError> {
  const error = await command.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CommandError) return error;
  throw new Error("the command was not refused");
}

describe("npm run lab", function () {
  this.timeout(TIMEOUT_MS);

  afterEach(async () => {
    await removeLab(NAME);
  });

  it("goes up, says how it is used, outlives its command, and goes down without a trace", async () => {
    const made: LabDescription = JSON.parse(await lab("up", "--agents", "1", "--devices", "2"));
    expect(Object.keys(made)).to.deep.equal(["registerUrl", "caFile", "controlSocket", "service", "hosts", "devices", "logs"]);
    expect(made.registerUrl).to.equal("https://203.0.113.2");
    expect(made.service).to.deep.equal({ host: "203.0.113.11", port: 443 });
    expect(made.hosts.map(({ statusCommand, ...host }) => host)).to.deep.equal([
      { name: "host1", netns: `eos-${NAME}-host1`, address: "203.0.113.11", address6: "2001:db8::11" },
    ]);
    expect(made.devices).to.deep.equal([
      { name: "device1", netns: `eos-${NAME}-device1`, address: "203.0.113.101", address6: "2001:db8::101" },
      { name: "device2", netns: `eos-${NAME}-device2`, address: "203.0.113.102", address6: "2001:db8::102" },
    ]);
    expect(Object.keys(made.logs)).to.deep.equal(["registry", "host1-floor", "host1-agent", "host1-terminator", "host1-service"]);
    expect(statSync(`/run/entityos-lab/${NAME}`).mode & 0o777).to.equal(0o700);

    const said = JSON.parse(await run(["sh", "-c", made.hosts[0]?.statusCommand ?? ""]));
    expect(said).to.include({ name: "host1", state: "enforcing" });
    const device = made.devices[0]?.netns ?? "";
    const ca = await run(inNetns(device, ["curl", "-sS", "--cacert", made.caFile, `${made.registerUrl}/v1/ca.pem`]));
    expect(ca).to.include("-----BEGIN CERTIFICATE-----");

    const whole = JSON.parse(await lab("status", "--json"));
    expect(whole.whole).to.equal(true);
    expect(whole.lab).to.deep.equal(made);
    expect(await lab("status")).to.match(/^host1-agent +203\.0\.113\.11 +\d+ +enforcing, revision \d+, 0 rules$/m);

    const second = await refusal(lab("up"));
    expect(second.code).to.equal(1);
    expect(second.stderr).to.include(`lab '${NAME}' stands already`).and.to.include("host1-agent");

    await lab("down");
    expect(await traces(NAME)).to.deep.equal([]);
    await lab("down");
    expect((await refusal(lab("status"))).code).to.equal(1);
  });

  for (const moment of ["network", "registry: starting", "agents: enrolling", "agents and services"]) {
    it(`goes down after an up that was killed at '${moment}'`, async () => {
      const up = spawn(BIN.run, ["test/lab/main.ts", "up", "--name", NAME], { stdio: ["ignore", "ignore", "pipe"] });
      const ended = once(up, "close");
      for await (const text of up.stderr) if (String(text).includes(moment)) break;
      up.kill("SIGKILL");
      await ended;
      await lab("down");
      expect(await traces(NAME)).to.deep.equal([]);
    });
  }

  it("takes everything away when it is interrupted on the way up", async () => {
    const up = spawn(BIN.run, ["test/lab/main.ts", "up", "--name", NAME], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = once(up, "close");
    let said = "";
    up.stderr.on("data", (text) => {
      said += String(text);
      if (String(text).includes("registry: starting")) up.kill("SIGINT");
    });
    expect((await ended)[0]).to.equal(1);
    expect(said).to.include("interrupted by SIGINT");
    expect(await traces(NAME)).to.deep.equal([]);
  });

  it("refuses what is no command or no lab", async () => {
    expect((await refusal(lab("sideways"))).code).to.equal(64);
    expect((await refusal(lab("up", "--agents", "0"))).stderr).to.include("Cannot make 0 agents: between 1 and 80");
    expect((await refusal(lab("up", "--terminator", "apache"))).stderr).to.include("Cannot put 'apache' in front of the application");
  });
});
