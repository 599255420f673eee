import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { shellLine } from "../../lib/shell.ts";
import { parsePacket } from "./capture.ts";
import { run } from "./exec.ts";
import { planLab } from "./plan.ts";
import { closeRecords, endProcesses, identify, isAlive, RECORDS, startProcess } from "./processes.ts";
import { duration, table } from "./terminal.ts";
import { waitFor } from "./wait.ts";

describe("the lab's parts", () => {
  it("plans names and addresses from two numbers", () => {
    const plan = planLab({ name: "x", agents: 2, devices: 1 });
    expect(plan.bridge).to.equal("eos-x-net");
    expect(plan.registry).to.deep.equal({ name: "registry", netns: "eos-x-registry", address: "203.0.113.2", address6: "2001:db8::2" });
    expect(plan.hosts.map((host) => `${host.netns} ${host.address} ${host.address6}`)).to.deep.equal([
      "eos-x-host1 203.0.113.11 2001:db8::11",
      "eos-x-host2 203.0.113.12 2001:db8::12",
    ]);
    expect(plan.devices.map((device) => device.address)).to.deep.equal(["203.0.113.101"]);
  });

  it("refuses a name or a number that no lab can have", () => {
    expect(() => planLab({ name: "../x" })).to.throw("Cannot name a lab '../x'");
    expect(() => planLab({ agents: 81 })).to.throw("Cannot make 81 agents: between 1 and 80");
    expect(() => planLab({ devices: Number.NaN })).to.throw("Cannot make NaN devices: between 1 and 99");
  });

  it("reads packets of both families with and without ports", () => {
    expect(parsePacket("1764000000.250000 IP 203.0.113.101.40000 > 203.0.113.11.443: Flags [S], seq 1, length 0")).to.deep.equal({
      at: 1764000000250,
      from: "203.0.113.101",
      fromPort: 40000,
      to: "203.0.113.11",
      toPort: 443,
      text: "Flags [S], seq 1, length 0",
    });
    expect(parsePacket("1764000000.000001 IP6 2001:db8::11.443 > 2001:db8::101.40000: Flags [S.]")).to.include({
      from: "2001:db8::11",
      fromPort: 443,
      to: "2001:db8::101",
      toPort: 40000,
    });
    expect(parsePacket("1764000000.000001 IP6 2001:db8::11 > 2001:db8::101: ICMP6, destination unreachable")).to.include({
      from: "2001:db8::11",
      fromPort: 0,
    });
    expect(parsePacket("listening on eth0, link-type EN10MB")).to.equal(undefined);
  });

  it("writes commands that a shell reads back word for word", () => {
    expect(shellLine(["/opt/a b/entityos", "it's", "--x=1"])).to.equal("'/opt/a b/entityos' 'it'\\''s' --x=1");
  });

  it("tells of a command that failed what it said, on both sides", async () => {
    const failed = await run(["sh", "-c", "echo why; echo how far >&2; exit 3"]).catch((error: Error) => error.message);
    expect(failed).to.equal("'sh -c echo why; echo how far >&2; exit 3' ended with 3: how far\nwhy");
  });

  it("aligns columns and rounds times for people", () => {
    expect(
      table(
        ["what", "ms"],
        [
          ["one", "1"],
          ["three", "12"],
        ],
        [1],
      ),
    ).to.equal("what   ms\none     1\nthree  12\n");
    expect([0.84, 12.3, 1_340].map(duration)).to.deep.equal(["0.8 ms", "12 ms", "1.3 s"]);
  });
});

describe("the lab's processes", () => {
  it("are known by number and start time together, so a reused number is never hit", async () => {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    const closed = new Promise((resolve) => child.once("close", resolve));
    const id = identify(child.pid ?? 0);
    if (!id) throw new Error("sleep did not start");
    const another = { pid: id.pid, startTicks: id.startTicks - 1 };
    expect(isAlive(another)).to.equal(false);
    await endProcesses([another]);
    expect(isAlive(id)).to.equal(true);
    await endProcesses([id]);
    expect(isAlive(id)).to.equal(false);
    await closed;
  });

  it("cannot start any more once their records are closed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-records-"));
    try {
      mkdirSync(join(folder, RECORDS));
      expect(await closeRecords(folder)).to.deep.equal([]);
      const log = join(folder, "log");
      startProcess(folder, "late", "eos-none", ["true"], log);
      const said = await waitFor("the refused start to say so", () => readFileSync(log, "utf8") || undefined);
      expect(said).to.include("processes/late");
      expect(said).not.to.include("nsenter");
      expect(await closeRecords(folder)).to.deep.equal([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
