import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import type { DebianPackage, UserDataInput } from "../../infra/aws/boot/input.ts";
import { userData } from "../../infra/aws/user-data.ts";
import { agentYaml, registryYaml } from "../../infra/hosts.ts";
import { makePki } from "../../registry/ca/files.ts";
import { inNetns, run } from "../lab/exec.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import { waitFor } from "../lab/wait.ts";
import type { Answers, Asks } from "./cloud.ts";
import { REGISTRY_NAME, reaches, serveApplication } from "./install.ts";
import type { Machine } from "./machine.ts";
import { ask, register, type Stand } from "./stand.ts";
import { provoke } from "./watch.ts";

const CLOUD = fileURLToPath(new URL("cloud.ts", import.meta.url));
/** What the mirror has and no machine: apt must have asked it. */
const FROM_MIRROR = "eos-from-mirror";
const SILENT = 28;
const LONG = { timeoutMs: 180_000, everyMs: 200 };
const CAS = ["root", "infrastructure", "device"] as const;
const secretOf = (name: string): string => `arn:aws:secretsmanager:eu-west-1:123456789012:secret:${name}`;

interface Cloud extends AsyncDisposable {
  readonly peer: Peer<Asks, Answers>;
  readonly url: string;
  /** Of the programs, by name: "agent". */
  readonly packages: (...names: string[]) => readonly DebianPackage[];
  readonly pki: string;
}

/** Metadata, bucket, secrets and mirror on the operator's address, with everything in them that two instances need. */
async function startCloud({ operator, folder }: Stand): Promise<Cloud> {
  await using stack = new AsyncDisposableStack();
  const peer = stack.use(await startPeer<Asks, Answers>(inNetns(operator.netns, [process.execPath, CLOUD])));
  const { url } = await peer.ask("start", { address: operator.v4 });
  const dist = join(folder, "dist/1");
  const files = readdirSync(dist).filter((file) => file.endsWith(".deb"));
  for (const file of files) await peer.ask("put", { path: `/packages/${file}`, file: join(dist, file) });
  await fillMirror(peer, join(folder, "mirror"));
  const pki = join(folder, "pki");
  await makePki(pki, Date.now());
  for (const name of CAS) await peer.ask("secret", { arn: secretOf(name), value: readFileSync(join(pki, `${name}.key`), "utf8") });
  const found = (name: string): DebianPackage => {
    const file = files.find((one) => one.startsWith(`entityos-${name}_`)) ?? "";
    return { file, sha256: sha256(join(dist, file)) };
  };
  const held = stack.move();
  return { peer, url, pki, packages: (...names) => names.map(found), [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** A mirror in the flat form of sources.list(5), with one package of its own. */
async function fillMirror(peer: Peer<Asks, Answers>, folder: string): Promise<void> {
  const control = `Package: ${FROM_MIRROR}\nVersion: 1\nArchitecture: all\nMaintainer: test <test@example.org>\nDescription: from the mirror\n`;
  mkdirSync(join(folder, "tree/DEBIAN"), { recursive: true });
  writeFileSync(join(folder, "tree/DEBIAN/control"), control);
  const deb = join(folder, "one.deb");
  await run(["dpkg-deb", "--root-owner-group", "--build", join(folder, "tree"), deb]);
  const size = readFileSync(deb).length;
  writeFileSync(join(folder, "Packages"), `${control}Filename: ./one.deb\nSize: ${size}\nSHA256: ${sha256(deb)}\n`);
  for (const name of ["Packages", "one.deb"]) await peer.ask("put", { path: `/debian/./${name}`, file: join(folder, name) });
}

const sha256 = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

/** As cloud-init would at the first boot: the user data, as root, on a machine whose apt knows the local mirror alone. */
async function firstBoot(machine: Machine, { url }: Cloud, input: UserDataInput): Promise<void> {
  await machine.sh(`rm -rf /etc/apt/sources.list.d/* && echo 'deb [trusted=yes] ${url}/debian ./' >/etc/apt/sources.list`);
  await machine.sh("sh -s", { input: userData(input) });
}

/** By the program's name: in a machine of a machine's the journal does not always know whose unit a line is of. */
const journal = (machine: Machine, lines: string) => machine.sh(`journalctl --no-pager -n ${lines} -t entityos-first-boot -t systemd`);

/** Waits for what becomes of a first boot. @throws Error with the end of what it said */
const until = (machine: Machine, what: string, isTrue: () => Promise<boolean>) =>
  waitFor(`${machine.name} to ${what}`, async () => (await isTrue()) || undefined, LONG).catch(async (cause: unknown) => {
    throw new Error(await journal(machine, "60"), { cause });
  });
const isDone = (machine: Machine) =>
  until(machine, "be done", async () => (await machine.sh("ls /var/lib/entityos-first-boot || true")).includes("done"));
const said = (machine: Machine, text: string) =>
  until(machine, `say '${text}'`, async () => (await journal(machine, "all")).includes(text));
const isClosed = (machine: Machine) =>
  until(machine, "close itself", async () => (await machine.sh("nft list tables")).includes("inet entityos_first_boot"));

const common = (cloud: Cloud) => ({ region: "eu-west-1", bucket: cloud.url, metadata: cloud.url });

function registryInput(cloud: Cloud, { v4, v6 }: Machine): UserDataInput {
  const text = registryYaml({
    name: REGISTRY_NAME,
    register: { names: [v4, v6] },
    control: { names: [v4, v6] },
    allowNetworks: ["203.0.113.0/24", "2001:db8::/32"],
  });
  const certificates = Object.fromEntries(CAS.map((name) => [name, readFileSync(join(cloud.pki, `${name}.crt`), "utf8")]));
  return {
    ...common(cloud),
    name: "registry",
    packages: cloud.packages("node", "registry", "cli"),
    debian: [],
    files: [{ path: "/etc/entityos-registry/registry.yaml", mode: "0644", text }],
    role: {
      kind: "registry",
      volume: null,
      secrets: cloud.url,
      certificates,
      keys: CAS.map((name) => ({ name, secret: secretOf(name) })),
      rootKey: null,
    },
  };
}

function agentInput(cloud: Cloud, machine: Machine, registry: Machine): UserDataInput {
  const folder = "/etc/entityos-agent";
  const text = agentYaml({
    name: machine.name,
    registry: {
      addresses: [`https://${registry.v4}:8444`],
      ca: `${folder}/ca.pem`,
      certificate: `${folder}/agent.crt`,
      key: `${folder}/agent.key`,
    },
    terminator: { kind: "haproxy" },
    gate: { lanes: { ip: true } },
  });
  return {
    ...common(cloud),
    name: machine.name,
    packages: cloud.packages("node", "agent", "cli"),
    debian: ["haproxy", FROM_MIRROR],
    files: [
      { path: `${folder}/agent.yaml`, mode: "0644", text },
      { path: `${folder}/ca.pem`, mode: "0644", text: readFileSync(join(cloud.pki, "root.crt"), "utf8") },
    ],
    role: { kind: "agent" },
  };
}

/** The user data of instances, on machines that have nothing of ours any more: where apt and the bucket are stands a local double. */
export function describeFirstBoot(stand: () => Stand): void {
  describe("made by the user data of their instances", () => {
    let cloud: Cloud;
    before(async () => {
      cloud = await startCloud(stand());
    });
    after(() => cloud?.[Symbol.asyncDispose]());

    it("become a registry that runs, with its CAs' keys from Secrets Manager and without the root's", async () => {
      const { registry } = stand();
      await firstBoot(registry, cloud, registryInput(cloud, registry));
      await isDone(registry);
      expect(await registry.sh("systemctl is-active entityos-registry")).to.equal("active\n");
      const pki = await registry.sh("cd /var/lib/entityos-registry/pki && stat -c '%n %a %U' *.key");
      const [device, infrastructure] = ["device", "infrastructure"].map((name) => `${name}.key 600 entityos-registry`);
      expect(pki.split("\n")).to.include.members([device, infrastructure]).and.not.include("root.key 600 entityos-registry");
      expect(await registry.sh("cat /var/lib/entityos-registry/pki/root.crt")).to.equal(readFileSync(join(cloud.pki, "root.crt"), "utf8"));
    });

    it("become a host behind the gate that enforces, once an operator let it in; closed until then, and nothing is retried in vain", async () => {
      const { registry, stranger, registered, folder } = stand();
      const gate = stand().gates.at(-1) ?? registry;
      await firstBoot(gate, cloud, agentInput(cloud, gate, registry));
      await isClosed(gate);
      await using knocks = await provoke(stranger, gate);
      await said(gate, "Waiting for an operator");
      const waiting = (await cloud.peer.ask("look", {})).objects.find((path) => path.endsWith("/agent.csr")) ?? "";
      const place = waiting.slice(1, -"/agent.csr".length);
      expect(place).to.match(new RegExp(`^hosts/${gate.name}/i-[0-9a-f]+$`));
      expect(await ask(stand(), registered, gate)).to.equal(SILENT);
      await serveApplication(gate);
      await registry.sh(`entityos-admit ${place} ${gate.v4},${gate.v6}`);
      await isDone(gate);
      await reaches(gate, "enforcing");
      // A device of before, whose state is of another registry.
      rmSync(join(folder, registered.netns), { recursive: true, force: true });
      await register(stand(), registered);
      expect(await ask(stand(), registered, gate, { seconds: 30 })).to.equal(`${gate.name} answers`);
      expect(await ask(stand(), stranger, gate)).to.equal(SILENT);
      expect(knocks.answers).to.deep.equal([]);
      expect(await gate.sh(`dpkg -s ${FROM_MIRROR}`)).to.include("Status: install ok installed");
      expect(await gate.sh("nft list tables")).to.not.include("first_boot");
      const { refused } = await cloud.peer.ask("look", {});
      expect(refused.filter((line) => !/^404 GET \/(hosts\/|debian\/)/.test(line))).to.deep.equal([]);
    });

    it("stay closed and without any package when a checksum is another one, say which, and go on once it is right", async () => {
      const { registry, stranger } = stand();
      const [gate = registry] = stand().gates;
      const right = agentInput(cloud, gate, registry);
      const [node, agent, ...more] = right.packages;
      const wrong = {
        ...right,
        packages: [node, { file: agent?.file ?? "", sha256: "ab".repeat(32) }, ...more].filter((one) => one !== undefined),
      };
      await firstBoot(gate, cloud, wrong);
      await isClosed(gate);
      await using knocks = await provoke(stranger, gate);
      await said(gate, `${agent?.file} is not what it is to be: its checksum is another`);
      expect(await gate.sh("dpkg-query -W 'entityos-*' 2>/dev/null || true")).to.equal("");
      expect(await gate.sh("ls /var/lib/entityos-first-boot/packages")).to.not.match(/entityos-agent_[^ \n]*\.deb$/m);
      expect(await ask(stand(), stranger, gate)).to.equal(SILENT);
      expect(knocks.volleys).to.be.greaterThan(2);
      expect(knocks.answers).to.deep.equal([]);
      await firstBoot(gate, cloud, right);
      await said(gate, "Waiting for an operator");
    });
  });
}
