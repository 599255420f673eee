import { expect } from "chai";
import { reaches, serveApplication, statusOf } from "./install.ts";
import { LONG_SCENES, onlyLong } from "./long.ts";
import type { Machine } from "./machine.ts";
import type { Ran } from "./metal.ts";
import { refusedScenes } from "./refused.ts";
import { removedScenes } from "./removed.ts";
import { ask, certificateOf, register, type Stand } from "./stand.ts";
import { startTraffic } from "./traffic.ts";
import { underWayScenes } from "./under-way.ts";
import { provoke } from "./watch.ts";

const SILENT = 28;
const RECORD = "/var/lib/entityos-metal/record.json";

/** Files of each machine before anything of ours was there. */
const before = new Map<string, ReadonlySet<string>>();

/** How often HAProxy was told to read its files anew. */
const reloadsOf = async (machine: Machine): Promise<number> =>
  Number(await machine.sh("journalctl -q -u entityos-terminator | grep -c 'Reloading HAProxy' || true"));

/** What changes on a Debian by itself, or keeps what was done for the record. */
const ITS_OWN = [
  ...[
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/dist",
    "/var/log",
    "/var/backups",
    "/var/lib/dpkg",
    "/var/lib/apt",
    "/var/cache/apt",
    "/var/cache/debconf",
  ],
  ...["/var/lib/systemd/timers", "/tmp/systemd-private-*", "/var/tmp/systemd-private-*"],
];

async function filesOf(machine: Machine): Promise<ReadonlySet<string>> {
  const without = ITS_OWN.map((path) => `-path '${path}' -prune -o`).join(" ");
  return new Set((await machine.sh(`find / -xdev ${without} -print | sort`)).trim().split("\n"));
}

/** Hosts that a plan is to deploy, as it tells them. */
const planned = ({ said }: Ran): string[] =>
  [...said.matchAll(/# terraform_data\.deploy-(\S+) \(\S+\) (?:is tainted, so must be replaced|must be replaced|will be created)/g)].map(
    ([, name = ""]) => name,
  );

const generations = (machines: readonly Machine[]) => Promise.all(machines.map(async (machine) => (await recordOf(machine)).generation));

/** Of machines, those whose last whole deploy is another one than it was. */
async function deployedSince(was: readonly string[], machines: readonly Machine[]): Promise<string[]> {
  const now = await generations(machines);
  return machines.filter((_, index) => now[index] !== was[index]).map(({ name }) => name);
}

const recordOf = async (machine: Machine) =>
  JSON.parse(await machine.sh(`cat ${RECORD}`)) as { generation: string; packages: Record<string, string> };

/** Hosts that are made by the metal stack: fresh, again, with a changed setting, mended, stopped at the first failure, upgraded. */
export function deployScenes(stand: () => Stand): void {
  it("are deployed by cdktf deploy metal, from machines with nothing but Debian and SSH", async () => {
    const { metal, registry, gates, commandLines } = stand();
    for (const machine of [registry, ...gates]) before.set(machine.name, await filesOf(machine));
    metal.width = 2;
    using _watching = commandLines.watch();
    const { code, said } = await metal.deploy();
    metal.width = 1;
    expect(code, said).to.equal(0);
    // The registry first and alone; then both, the second begun before the first is well.
    const told = (machine: Machine, words: string) => said.indexOf(`(local-exec): ${machine.name}: ${words}`);
    for (const gate of gates) {
      expect(told(gate, "entityos-")).to.be.greaterThan(told(registry, "deployed"));
      for (const other of gates) expect(told(gate, "entityos-")).to.be.within(0, told(other, "deployed"));
    }
    for (const machine of [registry, ...gates]) {
      expect(said).to.match(new RegExp(`\\(local-exec\\): .*${machine.name}: deployed`));
      expect((await recordOf(machine)).generation).to.match(/^20\d\d-.*Z$/);
    }
    for (const gate of gates) {
      await reaches(gate, "enforcing");
      process.stdout.write(
        `    ${gate.name}: ${(await gate.sh(SECONDS_TO_READY)).trim()} s from apt's first package to READY, enrolment included\n`,
      );
      await serveApplication(gate);
    }
    expect(JSON.parse(await registry.sh("entityos status --json")).agents).to.include({ enrolled: 2, connected: 2 });
  });

  it("are left alone by a second deploy", async () => {
    const { metal, registry, gates } = stand();
    const pids = await Promise.all(gates.map(async (gate) => (await statusOf(gate)).pid));
    const was = await generations([registry, ...gates]);
    const reloads = await Promise.all(gates.map(reloadsOf));
    const ran = await metal.deploy();
    expect(ran.code, ran.said).to.equal(0);
    expect(ran.said, ran.said).to.match(/No changes/);
    expect(planned(ran)).to.deep.equal([]);
    expect(await deployedSince(was, [registry, ...gates])).to.deep.equal([]);
    expect(await Promise.all(gates.map(async (gate) => (await statusOf(gate)).pid))).to.deep.equal(pids);
    // Nor do agents reload by themselves what has read their files already.
    expect(await Promise.all(gates.map(reloadsOf))).to.deep.equal(reloads);
  });

  it("take a changed setting on the one host that it is for", async () => {
    const { metal, registry, gates } = stand();
    const [changed] = gates;
    if (changed === undefined) throw new Error("unreachable");
    const was = await generations([registry, ...gates]);
    const reloads = await reloadsOf(changed);
    metal.agents[changed.name] = { gate: { lanes: { roaming: true } } };
    const ran = await metal.deploy();
    expect(ran.code, ran.said).to.equal(0);
    expect(planned(ran)).to.deep.equal([changed.name]);
    expect(await deployedSince(was, [registry, ...gates])).to.deep.equal([changed.name]);
    expect(await changed.sh("cat /etc/entityos-agent/agent.yaml")).to.include("roaming: true");
    expect(await reloadsOf(changed)).to.be.greaterThan(reloads);
  });

  it("let a certificate in from anywhere where roaming is on, and nobody without one", async () => {
    const { registry, gates, stranger } = stand();
    const [roaming, other] = gates;
    if (roaming === undefined || other === undefined) throw new Error("unreachable");
    await registry.sh("entityos profile set laptop --pattern cert");
    await register(stand(), stranger, { profile: "laptop", words: ["--certificate", "--no-addresses"] });
    const words = certificateOf(stand(), stranger);
    expect(await ask(stand(), stranger, roaming, { seconds: 30, words })).to.equal(`${roaming.name} answers`);
    expect(await ask(stand(), stranger, roaming)).to.be.a("number");
    expect(await ask(stand(), stranger, other, { words })).to.equal(SILENT);
  });

  it("want certificate and address of a device whose profile says both", async () => {
    const { registry, gates, operator, registered } = stand();
    await registry.sh("entityos profile set vault --pattern both");
    await register(stand(), operator, { profile: "vault", words: ["--certificate"] });
    const words = certificateOf(stand(), operator);
    for (const gate of gates) {
      expect(await ask(stand(), operator, gate, { seconds: 30, words }), gate.name).to.equal(`${gate.name} answers`);
      expect(await ask(stand(), operator, gate), gate.name).to.be.a("number");
      expect(await ask(stand(), registered, gate, { words }), gate.name).to.not.match(/answers/);
    }
  });

  underWayScenes(stand);

  if (LONG_SCENES) refusedScenes(stand);

  it("are mended, and no other, when somebody changed them by hand", async () => {
    const { metal, registry, gates } = stand();
    const [mended] = gates;
    if (mended === undefined) throw new Error("unreachable");
    const { pid } = await statusOf(mended);
    const was = await generations([registry, ...gates]);
    metal.agents[mended.name] = {};
    await mended.sh(
      "echo '# tried out' >>/etc/entityos-agent/agent.yaml; systemctl disable -q entityos-gate; apt-get purge -y -q entityos-cli",
    );
    const ran = await metal.deploy();
    expect(ran.code, ran.said).to.equal(0);
    expect(planned(ran)).to.deep.equal([mended.name]);
    expect(await ask(stand(), stand().stranger, mended)).to.equal(SILENT);
    for (const difference of [
      "entityos-cli is not installed",
      "/etc/entityos-agent/agent.yaml is another",
      "entityos-gate.service is disabled",
    ])
      expect(ran.said).to.include(`${mended.name}: ${difference}`);
    expect(await deployedSince(was, [registry, ...gates])).to.deep.equal([mended.name]);
    expect(await mended.sh("cat /etc/entityos-agent/agent.yaml; systemctl is-enabled entityos-gate; entityos --version")).to.not.match(
      /tried/,
    );
    expect((await statusOf(mended)).pid).to.not.equal(pid);
  });
}

/** Hosts under traffic: a deploy that fails, and one that goes through. */
export function upgradeScenes(stand: () => Stand): void {
  it("are not touched after one of them failed, which is named with the step", async () => {
    const { metal, registry, gates } = stand();
    const [broken] = gates;
    if (broken === undefined) throw new Error("unreachable");
    await broken.sh("echo nonsense >/etc/apt/apt.conf.d/99nonsense");
    metal.build = "2";
    const was = await generations(gates);
    const ran = await metal.deploy();
    expect(ran.code).to.not.equal(0);
    expect(planned(ran)).to.have.members([registry, ...gates].map(({ name }) => name));
    expect(ran.said).to.match(new RegExp(`${broken.name}: packages: failed: .*nonsense`));
    expect(await deployedSince(was, gates)).to.deep.equal([]);
    for (const gate of gates) expect(await gate.sh("dpkg -s entityos-agent"), gate.name).to.match(/^Version: .*\+1$/m);
    await broken.sh("rm /etc/apt/apt.conf.d/99nonsense");
  });

  it("take a new version one after the other under constant traffic of the registered, without one refused or repeated SYN", async () => {
    const { metal, registered, stranger, gates } = stand();
    const [first, second] = gates;
    if (first === undefined || second === undefined) throw new Error("unreachable");
    await using knocks = await provoke(stranger, first);
    await using traffic = await startTraffic(stand(), first);
    await using other = await startTraffic(stand(), second);
    const ran = await metal.deploy();
    expect(ran.code, ran.said).to.equal(0);
    expect(planned(ran)).to.have.members(gates.map(({ name }) => name));
    for (const [gate, counts] of [
      [first, await traffic.stop()],
      [second, await other.stop()],
    ] as const) {
      expect(counts.refused, gate.name).to.equal(0);
      expect(counts.repeated, gate.name).to.equal(0);
      expect(counts.answered, gate.name).to.be.greaterThan(10);
      expect(await gate.sh("dpkg -s entityos-agent")).to.match(/^Version: .*\+2$/m);
      expect(await ask(stand(), registered, gate)).to.equal(`${gate.name} answers`);
    }
    expect(knocks.answers).to.deep.equal([]);
    // One was well before the other was begun.
    const told = (gate: Machine, words: string) => ran.said.indexOf(`(local-exec): ${gate.name}: ${words}`);
    expect(told(first, "deployed")).to.be.within(0, told(second, "entityos-"));
  });
}

/** Hosts that are not what the settings take them for, and hosts that are given back as they were. */
export function destroyScenes(stand: () => Stand): void {
  onlyLong("are not taken for another machine that answers at their address", async () => {
    const { metal, gates } = stand();
    const [one] = gates;
    if (one === undefined) throw new Error("unreachable");
    // Keys are what the settings say; this machine shows another one meanwhile.
    const swap = (from: string, to: string) =>
      one.sh(`cd /etc/ssh && mv ssh_host_ed25519_key ${to} && mv ${from} ssh_host_ed25519_key && systemctl restart ssh`);
    await one.sh("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/other && rm /etc/ssh/other.pub");
    await swap("other", "kept");
    const ran = await metal.diff().finally(() => swap("kept", "other"));
    expect(planned(ran)).to.deep.equal([one.name]);
    expect(ran.said).to.include(`${one.name}: connect: host_key_differs`);
    await one.sh("rm /etc/ssh/other");
  });

  removedScenes(stand);

  it("keep the gate when the package is removed, and nothing at all when the stack is destroyed", async () => {
    const { metal, gates, registry } = stand();
    const [removed] = gates;
    if (removed === undefined) throw new Error("unreachable");
    await removed.sh("apt-get remove -y -q entityos-agent");
    expect(await removed.sh("nft list tables")).to.match(/inet entityos$/m);
    expect(await ask(stand(), stand().registered, removed)).to.equal(SILENT);
    // Not even agents go where a registry would.
    const refused = await metal.destroy();
    expect(refused.code).to.not.equal(0);
    expect(refused.said)
      .to.include("Instance cannot be destroyed")
      .and.not.match(/: removed$/m);
    expect(await registry.sh("systemctl is-active entityos-registry")).to.equal("active\n");
    metal.purge = [registry.name];
    const { code, said } = await metal.destroy();
    expect(code, said).to.equal(0);
    // Agents' certificates are revoked while their registry still stands.
    expect(said)
      .to.include(`${removed.name}: removed`)
      .and.not.match(/not revoked|no certificate of it/);
    for (const machine of [registry, ...gates]) {
      const left = [...(await filesOf(machine))].filter((file) => !before.get(machine.name)?.has(file));
      expect(left, machine.name).to.deep.equal(machine === registry ? [] : APPLICATION);
      expect(await machine.sh("nft list tables; getent passwd entityos-agent entityos-registry || true")).to.not.include("entityos");
    }
    metal.without.clear();
  });
}

/** dpkg's log and systemd tell whole seconds. */
const SECONDS_TO_READY = `began=$(grep -m1 ' install entityos-' /var/log/dpkg.log | cut -d' ' -f1,2)
echo $(( $(date -d "$(systemctl show -P ActiveEnterTimestamp entityos-agent)" +%s) - $(date -d "$began" +%s) ))`;

/** What the test's own application put there. */
const APPLICATION = ["/etc/systemd/system/haproxy.service.d", "/etc/systemd/system/haproxy.service.d/application.conf"];
