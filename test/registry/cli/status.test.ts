import { expect } from "chai";
import type { RegistryStatus } from "../../../lib/admin/api.ts";
import { cli, TestRegistry } from "./registry.ts";

describe("entityos status, for operators", () => {
  let registry: TestRegistry;
  before(async () => {
    registry = await TestRegistry.start();
  });
  after(() => registry[Symbol.asyncDispose]());

  it("tells on one screen that all is well, what is in force, and who came last", async () => {
    await registry.operator("profile", "set", "desktop", "--addresses", "any");
    const code = await registry.code();
    await registry.enroll("one", code, "--address", "203.0.113.7", "--address", "::1/128");
    await registry.enroll("two", code);
    const status = await registry.operator("status", "--check");
    expect([status.exit, status.err]).to.deep.equal([0, ""]);
    expect(status.out).to.match(
      /^registry: +register\.example\nall is well: +yes\nepoch: +[0-9a-f-]{36}\nrevision: +\d+\ndigest: +[0-9a-f]{32}\n/,
    );
    expect(status.out).to.contain("0 enrolled, 0 connected, 0 in sync\n");
    expect(status.out).to.match(/\nrules: +2, ip IPv4 1, ip IPv6 1\ndevices: +1, with 2 live grants\ncodes: +0 usable of 1\nwaiting: +0\n/);
    const lines = status.out.split("\n\n")[1]?.trimEnd().split("\n") ?? [];
    expect(lines[0]).to.match(/^DECIDED +ACTION +SIGNER +OUTCOME$/);
    expect(lines[1]).to.match(/ UTC +register +code:[0-9A-Z]{8} +code_spent$/);
    expect(lines[2]).to.match(/ UTC +register +code:[0-9A-Z]{8} +device [0-9a-f-]{36}$/);
    expect(lines).to.have.length(3);
  });

  it("names the agents that are silent, and ends with 1 when asked whether all is well", async () => {
    expect((await registry.operator("agent", "enroll", "host-9", "--out", registry.path("host-9"))).exit).to.equal(0);
    const { exit, out, err } = await registry.operator("status", "--check");
    expect([exit, err]).to.deep.equal([1, "not_well: agents_silent\n"]);
    expect(out).to.match(/\nall is well: +no: 1 alarm, below\n/);
    expect(out).to.match(/\nALARM: +1 agent has no feed: host-9\n/);
    const told = await registry.json<RegistryStatus & Record<string, unknown>>("status");
    expect(told).to.deep.include({
      silent: { agents: 1, names: ["host-9"] },
      behind: { agents: 0, names: [] },
      waitingSince: null,
      crowded: [],
    });
    expect((await cli(["status", "--socket", registry.path("run/control.sock")])).exit).to.equal(0);
  });
});
