import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { cli, type Ran, TestRegistry } from "./registry.ts";

interface State {
  readonly device: string;
  readonly registration: string;
  readonly addresses: readonly { readonly prefix: string; readonly lane: string; readonly expiresAt: number }[];
  readonly asked: readonly string[];
  readonly renewedAt: number | null;
}

describe("an enrolled device's commands", () => {
  let registry: TestRegistry;
  before(async () => {
    registry = await TestRegistry.start();
    await registry.operator("profile", "set", "desktop", "--addresses", "any", "--address-lifetime", "1h", "--observed6", "128");
  });
  after(() => registry[Symbol.asyncDispose]());

  let number = 0;
  /** The name of a folder with a freshly enrolled device. */
  const enrolled = async (...more: string[]): Promise<string> => {
    const folder = `device-${number++}`;
    const { exit, err } = await registry.enroll(folder, await registry.code(), ...more);
    expect([exit, err]).to.deep.equal([0, ""]);
    return folder;
  };
  const run = (command: string, folder: string, ...more: string[]): Promise<Ran> =>
    cli([command, "--state", registry.path(folder), ...more]);
  const state = (folder: string): State => JSON.parse(readFileSync(registry.path(folder, "device.json"), "utf8"));
  const prefixes = (folder: string): string[] => state(folder).addresses.map(({ prefix }) => prefix);
  const ended = async (folder: string) =>
    (await registry.json<{ endReason: string | null }>("device", "show", state(folder).device)).endReason;

  it("renew asks again for what was asked for, and keeps what it was granted, readable for its owner alone", async () => {
    const folder = await enrolled("--address", "observed", "--address", "203.0.113.7");
    const before = state(folder);
    const { exit, out, err } = await run("renew", folder);
    expect([exit, err]).to.deep.equal([0, ""]);
    expect(out).to.match(/^renewed with: register\.example\ndevice: +[0-9a-f-]{36}\npattern: +ip\nin force on: +0 of 0 hosts\n/);
    const after = state(folder);
    expect([after.device, prefixes(folder)]).to.deep.equal([before.device, ["127.0.0.1/32", "203.0.113.7/32"]]);
    expect(after.registration).to.not.equal(before.registration);
    expect(after.addresses[0]?.expiresAt).to.be.at.least(before.addresses[0]?.expiresAt ?? 0);
    expect(readdirSync(registry.path(folder)).sort()).to.deep.equal(["device.json", "device.key"]);
    expect(statSync(registry.path(folder, "device.json")).mode & 0o777).to.equal(0o600);
  });

  it("renew with other addresses ends the ones before, and asks for the new ones from then on", async () => {
    const folder = await enrolled();
    const { out } = await run("renew", folder, "--address", "203.0.113.9", "--json");
    expect(JSON.parse(out)).to.deep.include({ asked: ["203.0.113.9"], sync: { applied: 0, agents: 0 } });
    await run("renew", folder);
    expect(prefixes(folder)).to.deep.equal(["203.0.113.9/32"]);
    const { grants } = await registry.json<{ grants: { prefix: string; endReason: string | null }[] }>(
      "device",
      "show",
      state(folder).device,
    );
    expect(grants.map(({ prefix, endReason }) => `${prefix} ${endReason}`)).to.deep.equal(["127.0.0.1/32 left", "203.0.113.9/32 null"]);
  });

  it("enroll and renew take both families by one request, over names of one family each", async () => {
    const [url4, url6] = [`https://127.0.0.1:${registry.port}`, `https://[::1]:${registry.port}`];
    const folder = await enrolled("--dual-stack", "--url4", url4, "--url6", url6);
    expect(prefixes(folder)).to.deep.equal(["127.0.0.1/32", "::1/128"]);
    expect((await run("renew", folder, "--address", "observed6")).exit).to.equal(0);
    expect(prefixes(folder)).to.deep.equal(["::1/128"]);
    expect((await run("renew", folder, "--dual-stack")).exit).to.equal(0);
    expect(prefixes(folder)).to.deep.equal(["127.0.0.1/32", "::1/128"]);
  });

  it("take the family that there is when dual-stack has one only, and say so when a family was named", async () => {
    const [url4, url6] = [`https://127.0.0.1:${registry.port}`, "https://[::1]:1"];
    const folder = await enrolled("--dual-stack", "--url4", url4, "--url6", url6);
    expect(prefixes(folder)).to.deep.equal(["127.0.0.1/32"]);
    const { exit, err } = await run("renew", folder, "--address", "observed6");
    expect([exit, err.split("\n")[0]]).to.deep.equal([69, "unreachable: Cannot reach https://[::1]:1: nobody answers there"]);
    expect(prefixes(folder)).to.deep.equal(["127.0.0.1/32"]);
  });

  it("leave ends the device and forgets it here", async () => {
    const folder = await enrolled();
    const { device } = state(folder);
    const { exit, out } = await run("leave", folder);
    expect([exit, out]).to.deep.equal([0, `left: ${device}\n`]);
    expect(readdirSync(registry.path(folder))).to.deep.equal([]);
    expect(await registry.json("device", "show", device)).to.deep.include({ endReason: "left" });
    expect((await run("leave", folder)).err.split(":")[0]).to.equal("not_enrolled");
  });

  it("leave a second time, when the first answer got lost, is told the same", async () => {
    const folder = await enrolled();
    const kept = ["device.json", "device.key"].map((file) => [file, readFileSync(registry.path(folder, file))] as const);
    await run("leave", folder);
    for (const [file, bytes] of kept) writeFileSync(registry.path(folder, file), bytes);
    const { exit, out } = await run("leave", folder, "--json");
    expect([exit, JSON.parse(out)]).to.deep.equal([0, { device: JSON.parse(String(kept[0]?.[1])).device, ended: "left" }]);
    expect(existsSync(registry.path(folder, "device.key"))).to.equal(false);
  });

  it("tell that an operator revoked the device, and leave then forgets it", async () => {
    const folder = await enrolled();
    const { device } = state(folder);
    await registry.operator("device", "revoke", device);
    const renewed = await run("renew", folder);
    expect([renewed.exit, renewed.err.split(":")[0]]).to.deep.equal([77, "device_revoked"]);
    const told = await run("status", folder);
    expect([told.exit, told.err]).to.deep.equal([1, "device_revoked: This device was revoked.\n"]);
    expect(told.out).to.match(/\nstate: +revoked\n/);
    expect(await run("leave", folder)).to.deep.include({ exit: 0, out: `revoked before: ${device}\n` });
    expect(readdirSync(registry.path(folder))).to.deep.equal([]);
  });

  it("status tells what is in force where, and whether this network is registered", async () => {
    const folder = await enrolled();
    const { exit, out } = await run("status", folder, "--json");
    expect(exit).to.equal(0);
    const { device } = state(folder);
    expect(JSON.parse(out)).to.deep.include({ device, ended: null, seenFrom: "127.0.0.1", covered: true, registryAnswers: true });
    await run("renew", folder, "--address", "203.0.113.9");
    expect((await run("status", folder)).out).to.match(/\nseen from: +127\.0\.0\.1, which is not registered: entityos renew\n/);
    expect((await run("status", folder, "--offline")).out).to.not.contain("seen from");
  });

  it("status tells what the file says when no registry answers, and when all has expired", async () => {
    const folder = await enrolled();
    const file = registry.path(folder, "device.json");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace(registry.url, "https://localhost:1"));
    const silent = await run("status", folder);
    expect([silent.exit, silent.err.split("\n")[0]]).to.deep.equal([
      69,
      "unreachable: Cannot reach https://localhost:1: nobody answers there",
    ]);
    expect(silent.out).to.contain("127.0.0.1/32");
    const later = await cli(["status", "--state", registry.path(folder), "--offline"], { now: () => Date.now() + 3_600_001 });
    expect([later.exit, later.err]).to.deep.equal([
      1,
      "all_expired: Nothing that this device registered lives any more.\nRenew it: entityos renew\n",
    ]);
  });

  it("renew and leave with a clock that is a day wrong", async () => {
    const folder = await enrolled();
    const now = () => Date.now() + 86_400_000;
    expect((await cli(["renew", "--state", registry.path(folder)], { now })).exit).to.equal(0);
    expect((await cli(["leave", "--state", registry.path(folder)], { now })).exit).to.equal(0);
  });

  it("need the device's key, and make none", async () => {
    const folder = await enrolled();
    writeFileSync(registry.path(folder, "device.key"), "torn");
    for (const command of ["renew", "leave", "status"]) {
      expect((await run(command, folder)).err.split(":")[0]).to.equal("device_key_file");
    }
    expect(await ended(folder)).to.equal(null);
  });

  it("renew again what got no answer sends the same again, and is one renewal", async () => {
    const folder = await enrolled();
    await using proxy = await registry.handingOn();
    proxy.lose = true;
    const lost = await run("renew", folder, "--url", proxy.url);
    expect([lost.exit, readdirSync(registry.path(folder)).sort()]).to.deep.equal([69, ["device.json", "device.key", "pending.json"]]);
    proxy.lose = false;
    expect((await run("renew", folder, "--url", proxy.url)).exit).to.equal(0);
    expect(new Set(proxy.bodies).size).to.equal(1);
    const { items } = await registry.json<{ items: { action: string; actor: string }[] }>("audit", "list", "--limit", "1000");
    const renewals = items.filter(({ action, actor }) => action === "device.renewed" && actor === `device:${state(folder).device}`);
    expect(renewals).to.have.length(1);
    expect(readdirSync(registry.path(folder)).sort()).to.deep.equal(["device.json", "device.key"]);
  });

  describe("--wait", () => {
    /** A registry whose events are what the test says, one list for each stream. */
    const following = (folder: string, streams: (readonly string[])[]) => {
      const { device, registration: id, addresses } = state(folder);
      return registry.answering((incoming, response) => {
        if (incoming.url?.endsWith("/events")) {
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.end((streams.shift() ?? []).join(""));
          return;
        }
        const body = JSON.stringify({ id, device, pattern: "ip", addresses, sync: { applied: 0, agents: 2 } });
        response.writeHead(201, { "content-type": "application/json" }).end(body);
      });
    };
    const applied = (applied: number, agents: number) => `event: applied\ndata: ${JSON.stringify({ applied, agents })}\n\n`;

    it("tells how far it is until all hosts have it, over streams that end early", async () => {
      const folder = await enrolled();
      const first = ['event: stored\ndata: {"id":"x"}\n\n', ":\n\n", applied(0, 2), applied(1, 2)];
      await using stub = await following(folder, [first, [], [applied(1, 2), applied(2, 2)]]);
      const { exit, out, err } = await run("renew", folder, "--url", stub.url, "--wait");
      expect([exit, err]).to.deep.equal([0, "in force on 0 of 2 hosts\nin force on 1 of 2 hosts\nin force on 2 of 2 hosts\n"]);
      expect(out).to.match(/\nin force on: +2 of 2 hosts\n/);
    });

    it("ends with 1 when a host does not get it, with what it registered saved", async () => {
      const folder = await enrolled();
      await using stub = await following(folder, [[applied(1, 2)]]);
      const { exit, err } = await run("renew", folder, "--url", stub.url, "--wait");
      expect([exit, err]).to.deep.equal([1, "in force on 1 of 2 hosts\nnot_everywhere: It is in force on 1 of 2 hosts.\n"]);
      expect(state(folder).renewedAt).to.be.a("number");
    });

    it("is done at once where there are no hosts", async () => {
      const { exit, err } = await run("renew", await enrolled(), "--wait", "--json");
      expect([exit, err]).to.deep.equal([0, "in force on 0 of 0 hosts\n"]);
    });
  });
});
