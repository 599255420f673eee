import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { expect } from "chai";
import type { Packet } from "../lab/capture.ts";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { deployScenes, destroyScenes, upgradeScenes } from "./deploying.ts";
import { describeFirstBoot } from "./first-boot.ts";
import { reaches, statusOf } from "./install.ts";
import { LONG_SCENES, onlyLong } from "./long.ts";
import type { Machine } from "./machine.ts";
import { nginxScenes } from "./nginx.ts";
import { ask, makeStand, register, type Stand } from "./stand.ts";
import { startTraffic } from "./traffic.ts";
import { provoke, watch } from "./watch.ts";
import { byHandScenes } from "./ways.ts";

const SILENT = 28;
const LONG = { timeoutMs: 60_000, everyMs: 100 };

/** On booted Debians, from packages: each test leaves the stand as the next one wants it. */
describe("hosts", function () {
  this.timeout(600_000);
  let stand: Stand;
  before(async function () {
    // A machine that has no Debian yet makes two.
    this.timeout(1_500_000);
    stand = await makeStand();
  });
  // What a test that failed left stopped is no reason for the next one to fail.
  beforeEach(async () => {
    const start = "[ ! -e /usr/sbin/entityos-agent ] || systemctl start nftables entityos-agent entityos-terminator";
    for (const gate of stand.gates) await gate.sh(start);
  });
  after(() => stand?.[Symbol.asyncDispose]());
  const first = (): Machine => stand.gates[0] ?? stand.registry;
  const exposure = async (machine: Machine, unit: string): Promise<number> => {
    const said = await machine.sh(`systemd-analyze security --no-pager ${unit}.service | tail -1`);
    const score = Number(/service: ([\d.]+)/.exec(said)?.[1]);
    process.stdout.write(`      systemd-analyze security ${unit}: ${score}\n`);
    return score;
  };
  /** Ours, beside those of /etc/nftables.conf. */
  const tables = async (machine: Machine) =>
    (await machine.sh("nft list tables"))
      .split("\n")
      .filter((line) => line.includes("entityos"))
      .sort();

  deployScenes(() => stand);

  it("are made from packages in which lintian finds no error", async () => {
    const debs = readdirSync(join(stand.folder, "dist/1")).map((name) => join(stand.folder, "dist/1", name));
    expect(debs).to.have.length(4);
    // The one with Node takes lintian a minute and a half, and is another's program.
    const looked = LONG_SCENES ? debs : debs.filter((deb) => !basename(deb).startsWith("entityos-node"));
    const report = await run(["lintian", "--allow-root", "--tag-display-limit", "0", ...looked], { timeoutMs: 400_000 });
    for (const deb of debs) process.stdout.write(`      ${basename(deb)}: ${Math.ceil(statSync(deb).size / 1024)} kB\n`);
    process.stdout.write(report.replace(/^/gm, "      "));
    expect(report).to.match(/^W: /m).and.not.match(/^E: /m);
  });

  it("run what they run with as little as they need", async () => {
    for (const gate of stand.gates) {
      expect(await exposure(gate, "entityos-agent"), gate.name).to.be.at.most(3);
      expect(await exposure(gate, "entityos-gate"), gate.name).to.be.at.most(2);
      expect(await exposure(gate, "entityos-floor"), gate.name).to.be.at.most(2);
      expect(await exposure(gate, "entityos-terminator"), gate.name).to.be.at.most(2);
      const terminator = await gate.sh("cat /proc/$(systemctl show -P MainPID entityos-terminator)/status");
      expect(terminator)
        .to.match(/^CapEff:\t0{16}$/m)
        .and.not.match(/^Uid:\t0/m);
      const status = await gate.sh("cat /proc/$(systemctl show -P MainPID entityos-agent)/status");
      expect(status)
        .to.match(/^CapEff:\t0{12}1000$/m)
        .and.match(/^NoNewPrivs:\t1$/m)
        .and.not.match(/^Uid:\t0/m);
    }
    expect(await exposure(stand.registry, "entityos-registry")).to.be.at.most(2);
    for (const machine of [stand.registry, ...stand.gates]) expect(await machine.sh("systemctl --failed --no-legend")).to.equal("");
  });

  it("let a device in that registered over HTTPS, and answer a stranger with nothing", async () => {
    await using knocks = await provoke(stand.stranger, first());
    for (const gate of stand.gates) expect(await ask(stand, stand.registered, gate).catch(String)).to.not.match(/answers/);
    await register(stand, stand.registered);
    for (const gate of stand.gates) expect(await ask(stand, stand.registered, gate)).to.equal(`${gate.name} answers`);
    expect(await ask(stand, stand.stranger, first())).to.equal(SILENT);
    expect(knocks.volleys).to.be.greaterThan(2);
    expect(knocks.answers).to.deep.equal([]);
  });

  it("keep strangers out and the registered in while nftables.service is restarted, reloaded and stopped", async () => {
    for (const gate of stand.gates) {
      await using knocks = await provoke(stand.stranger, gate);
      for (const verb of ["restart", "reload", "stop", "start"]) {
        await gate.sh(`systemctl ${verb} nftables`);
        await reaches(gate, "enforcing");
        expect(await ask(stand, stand.registered, gate), verb).to.equal(`${gate.name} answers`);
      }
      expect(knocks.answers).to.deep.equal([]);
    }
  });

  it("are closed after each flush of nftables.service, and of any program, also without an agent", async () => {
    for (const gate of stand.gates) {
      await using knocks = await provoke(stand.stranger, gate);
      await gate.sh("systemctl kill --signal=KILL entityos-agent; nft flush ruleset");
      await reaches(gate, "enforcing");
      expect(await ask(stand, stand.registered, gate)).to.equal(`${gate.name} answers`);
      await gate.sh("systemctl stop entityos-agent; nft flush ruleset");
      expect(await tables(gate)).to.deep.equal(["table inet entityos_ground"]);
      expect(await ask(stand, stand.registered, gate)).to.equal(SILENT);
      for (const verb of ["restart", "reload", "stop"]) {
        await gate.sh(`systemctl ${verb} nftables`);
        expect(await tables(gate), verb).to.deep.equal(["table inet entityos", "table inet entityos_ground"]);
      }
      expect(await ask(stand, stand.registered, gate)).to.equal(SILENT);
      expect((await stand.operator.actor.ask("connect", { host: gate.v4, port: 22, timeoutMs: 2_000 })).label).to.match(/^SSH-2\.0/);
      expect(knocks.answers).to.deep.equal([]);
      await gate.sh("systemctl start nftables entityos-agent");
      expect(await ask(stand, stand.registered, gate)).to.equal(`${gate.name} answers`);
    }
  });

  upgradeScenes(() => stand);

  onlyLong("take a changed configuration by a reload, for the next boot too", async () => {
    for (const gate of stand.gates) {
      const { pid } = await statusOf(gate);
      for (const [from, to] of [
        ["22", "2222"],
        ["2222", "22"],
      ]) {
        await gate.sh(`sed -i 's/- ${from}$/- ${to}/' /etc/entityos-agent/agent.yaml && systemctl reload entityos-agent`);
        await waitFor(
          `port ${to} for operators`,
          async () => {
            const [now, next] = [
              await gate.sh("nft list chain inet entityos input"),
              await gate.sh("cat /var/lib/entityos-agent/gate.nft"),
            ];
            return [now, next].every((rules) => rules.includes(` dport ${to} `) && !rules.includes(` dport ${from} `)) || undefined;
          },
          LONG,
        );
      }
      expect((await reaches(gate, "enforcing")).pid).to.equal(pid);
    }
  });

  it("have a terminator that is reloaded without one refused connection, and started again when it is killed", async () => {
    for (const gate of stand.gates) {
      await using knocks = await provoke(stand.stranger, gate);
      await using traffic = await startTraffic(stand, gate);
      await gate.sh("systemctl reload entityos-terminator");
      await waitFor("requests of the new worker", () => traffic.answered > 20 || undefined, LONG);
      expect(await traffic.stop()).to.include({ refused: 0, repeated: 0 });
      await gate.sh("systemctl kill --signal=KILL entityos-terminator");
      await waitFor(
        "another terminator",
        async () => (await ask(stand, stand.registered, gate)) === `${gate.name} answers` || undefined,
        LONG,
      );
      expect(knocks.answers).to.deep.equal([]);
    }
  });

  onlyLong("have a terminator that takes Debian's next HAProxy by itself, without being stopped", async () => {
    for (const gate of stand.gates) {
      const master = (await gate.sh("systemctl show -P MainPID entityos-terminator")).trim();
      await gate.sh(REPACK);
      expect(await gate.sh("dpkg -s haproxy")).to.match(/^Version: .*\+again$/m);
      expect((await gate.sh("systemctl show -P MainPID entityos-terminator")).trim()).to.equal(master);
      await waitFor(
        "the master to be the new program",
        async () => (await gate.sh(`readlink /proc/${master}/exe`)).trim() === "/usr/sbin/haproxy" || undefined,
        LONG,
      );
      expect(await ask(stand, stand.registered, gate, { seconds: 30 })).to.equal(`${gate.name} answers`);
    }
  });

  if (LONG_SCENES) nginxScenes(() => stand);

  it("have a hung agent killed and replaced by the watchdog, with the gate as it was throughout", async () => {
    for (const gate of stand.gates) {
      await gate.sh(`mkdir -p /run/systemd/system/entityos-agent.service.d
printf '[Service]\\nWatchdogSec=6\\n' >/run/systemd/system/entityos-agent.service.d/test.conf
systemctl daemon-reload && systemctl restart entityos-agent`);
      const { pid } = await reaches(gate, "enforcing");
      await using knocks = await provoke(stand.stranger, gate);
      await using traffic = await startTraffic(stand, gate);
      await gate.sh(`kill -STOP ${pid}`);
      await waitFor("another agent", async () => ((await statusOf(gate).catch(() => null))?.pid ?? pid) !== pid || undefined, LONG);
      await reaches(gate, "enforcing");
      expect(await traffic.stop()).to.include({ refused: 0, repeated: 0 });
      expect(knocks.answers).to.deep.equal([]);
      expect(Number(await gate.sh("systemctl show -P NRestarts entityos-agent"))).to.be.at.least(1);
      await gate.sh("rm -r /run/systemd/system/entityos-agent.service.d && systemctl daemon-reload");
    }
  });

  it("boot closed, and let the registered back in without the registry, when the agent stands", async () => {
    await stand.registry.sh("systemctl stop entityos-registry");
    for (const gate of stand.gates) {
      await using knocks = await provoke(stand.stranger, gate);
      await using seen = await watch(stand.registered, gate);
      await using traffic = await startTraffic(stand, gate);
      await gate.reboot();
      await reaches(gate, "detached");
      await waitFor(
        "the registered to be answered",
        async () => (await ask(stand, stand.registered, gate)) === `${gate.name} answers` || undefined,
        LONG,
      );
      await traffic.stop();
      expect(knocks.answers).to.deep.equal([]);
      // Without a gate the kernel answers what nobody listens for.
      expect(seen.answers.filter(({ text }) => / R|ICMP|unreachable/.test(text))).to.deep.equal([]);
      const [booted, ready] = [await wallTime(gate, "UserspaceTimestamp"), await wallTime(gate, "ActiveEnterTimestamp", "entityos-agent")];
      const early = ({ at, text }: Packet) => text.startsWith("Flags [S.]") && at > booted && at < ready;
      expect(seen.answers.filter(early)).to.deep.equal([]);
      expect(ready).to.be.greaterThan(booted);
    }
    await stand.registry.sh("systemctl start entityos-registry");
    for (const gate of stand.gates) await reaches(gate, "enforcing");
  });

  onlyLong("boot closed when the agent cannot start, with operators let in", async () => {
    for (const gate of stand.gates) {
      await gate.sh("cp -p /etc/entityos-agent/agent.yaml /root/ && echo 'nonsense: [' >>/etc/entityos-agent/agent.yaml");
      await using knocks = await provoke(stand.stranger, gate);
      await gate.reboot();
      expect(await tables(gate)).to.deep.equal(["table inet entityos", "table inet entityos_ground"]);
      expect(await ask(stand, stand.registered, gate)).to.equal(SILENT);
      expect((await stand.operator.actor.ask("connect", { host: gate.v4, port: 22, timeoutMs: 2_000 })).label).to.match(/^SSH-2\.0/);
      expect(knocks.answers).to.deep.equal([]);
      await gate.sh("mv /root/agent.yaml /etc/entityos-agent/ && systemctl restart entityos-agent");
      await reaches(gate, "enforcing");
      expect(await ask(stand, stand.registered, gate)).to.equal(`${gate.name} answers`);
    }
  });

  destroyScenes(() => stand);
  if (LONG_SCENES) byHandScenes(() => stand);
  if (LONG_SCENES) describeFirstBoot(() => stand);
});

/** The HAProxy that is installed, as a package of its own with a higher version, installed. */
const REPACK = `rm -rf /tmp/again; mkdir -p /tmp/again/DEBIAN
dpkg -L haproxy | while read -r file; do [ -d "$file" ] || echo "$file"; done | tar -cPf - -T - | tar -C /tmp/again --strip-components=0 -xf - 2>/dev/null
dpkg-query -W -f 'Package: \${Package}\nVersion: \${Version}+again\nArchitecture: \${Architecture}\nMaintainer: \${Maintainer}\nDescription: once more\n' haproxy >/tmp/again/DEBIAN/control
dpkg-deb --root-owner-group -Znone --build /tmp/again /tmp/again.deb
dpkg -i /tmp/again.deb
rm -rf /tmp/again /tmp/again.deb`;

/** Milliseconds since 1970 of a moment that systemd remembers; monotonic time is the same inside and outside. */
async function wallTime(machine: Machine, property: string, unit = ""): Promise<number> {
  const then = Number(await machine.sh(`systemctl show -P ${property}Monotonic ${unit}`)) / 1_000;
  return Date.now() - (Number(process.hrtime.bigint()) / 1e6 - then);
}
