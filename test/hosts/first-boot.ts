import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { MetalSettings } from "../../infra/metal/settings.ts";
import { waitFor } from "../lab/wait.ts";
import { reaches, serveApplication } from "./install.ts";
import {
  again,
  agentInput,
  asked,
  type Cloud,
  FROM_MIRROR,
  firstBoot,
  isClosed,
  isDone,
  registryInput,
  said,
  secretOf,
  startCloud,
} from "./instance.ts";
import type { Machine } from "./machine.ts";
import { ask, register, type Stand } from "./stand.ts";
import { attachVolume, filesWith, tracesOf, type Volume } from "./volume.ts";
import { provoke } from "./watch.ts";
import { comparedWithMetal, REQUESTS } from "./ways.ts";

const SILENT = 28;
/** What makes an instance a host, and lets operators in, beside what makes a host of every kind. */
const INSTANCE = /\/entityos-(first-boot|admit|instance|metadata|root-key)/;
const REFUSED = 7;
const PKI = "/var/lib/entityos-registry/pki";
const ROOT_KEY = "/run/entityos-root-key/root.key";

/** curl's exit code for metadata as one of a machine's users sees it. */
const metadataAs = (machine: Machine, user: string): Promise<number> =>
  machine
    .sh(`setpriv --reuid=${user} --regid=nogroup --clear-groups curl -sS --max-time 3 -X PUT http://169.254.169.254/latest/api/token`)
    .then(() => 0)
    .catch((error: { code?: number }) => error.code ?? -1);

async function expectMetadataOfRootAlone(machine: Machine): Promise<void> {
  for (const user of ["nobody", "_apt", "daemon"]) expect(await metadataAs(machine, user), user).to.equal(REFUSED);
  expect(await metadataAs(machine, "root")).to.equal(0);
}

/** What makes an instance a host is beside what the metal stack makes of one. */
async function expectAsByMetal(machine: Machine, besides: readonly string[]): Promise<void> {
  const { more, ...rest } = await comparedWithMetal(machine);
  expect(rest).to.deep.equal({ less: [], rendered: true });
  expect(more.filter((line) => !INSTANCE.test(line))).to.deep.equal(besides);
}

/** The user data of instances, on machines that have nothing of ours any more: where apt and the bucket are stands a local double. */
export function describeFirstBoot(stand: () => Stand): void {
  describe("made by the user data of their instances", () => {
    let cloud: Cloud;
    let volume: Volume;
    // The metal stack's, which made these machines before.
    let settings: MetalSettings;
    before(async () => {
      settings = await stand().metal.configured();
      cloud = await startCloud(stand());
      volume = await attachVolume(stand().registry);
    });
    after(async () => {
      await volume?.[Symbol.asyncDispose]();
      await cloud?.[Symbol.asyncDispose]();
    });
    const keyOf = (name: string) => readFileSync(join(cloud.pki, `${name}.key`), "utf8");
    const expectNoRootKey = async (machine: Machine) => {
      const bytes = await volume.bytes();
      expect(tracesOf(keyOf("root")).map((trace) => bytes.includes(trace))).to.deep.equal([false, false]);
      expect(await filesWith(machine, keyOf("root"))).to.deep.equal([]);
      expect(await machine.sh(`cat ${PKI}/root.key ${ROOT_KEY} 2>/dev/null || true`)).to.equal("");
    };

    it("become a registry on its volume, and no disk ever holds the root's key, also when the first boot is killed while it has it", async () => {
      const { registry } = stand();
      await firstBoot(registry, cloud, registryInput(cloud, settings, volume.device));
      await registry.sh(`until [ -s ${ROOT_KEY} ]; do sleep 0.02; done; systemctl kill --signal=KILL entityos-first-boot`, {
        timeoutMs: 180_000,
      });
      expect(await registry.sh("ls /var/lib/entityos-first-boot")).to.not.include("done");
      await waitFor("what was in memory to be away", async () => !(await registry.sh("mount")).includes("entityos-root-key") || undefined);
      await expectNoRootKey(registry);
      await again(registry);
      await isDone(registry);
      expect(await registry.sh("systemctl is-active entityos-registry")).to.equal("active\n");
      expect(await registry.sh("findmnt -no SOURCE,FSTYPE /var/lib/entityos-registry")).to.match(/^\/dev\/\S+ ext4\n$/);
      expect((await registry.sh(`cd ${PKI} && stat -c '%n %a %U' *.key`)).split("\n")).to.include.members([
        "device.key 600 entityos-registry",
        "infrastructure.key 600 entityos-registry",
      ]);
      expect(await registry.sh(`cat ${PKI}/root.crt`)).to.equal(readFileSync(join(cloud.pki, "root.crt"), "utf8"));
      await expectNoRootKey(registry);
      await expectAsByMetal(registry, []);
      // A key that is there is found.
      const bytes = await volume.bytes();
      expect(tracesOf(keyOf("device")).map((trace) => bytes.includes(trace))).to.deep.equal([true, false]);
    });

    it("let an operator sign with the root's key, in memory alone, one at a time", async () => {
      const { registry } = stand();
      const held = await registry.sh(
        `entityos-root-key sh -c 'stat -f -c %T ${ROOT_KEY}; entityos-root-key true || echo $?; entityos ca rotate'`,
      );
      expect(held).to.match(/^ramfs\n75\n/);
      expect(await registry.sh("entityos ca show --json")).to.match(/"device-[0-9a-f]+"|device/);
      await expectNoRootKey(registry);
    });

    it("leave metadata to root alone, whatever flushes the tables", async () => {
      const { registry } = stand();
      await expectMetadataOfRootAlone(registry);
      expect(await metadataAs(registry, "entityos-registry")).to.equal(REFUSED);
      await registry.sh("nft flush ruleset");
      await expectMetadataOfRootAlone(registry);
    });

    it("take a registry's volume over as it is, with what is in it, without asking for the root's key again", async () => {
      const { registry } = stand();
      const facts = async () => JSON.parse(await registry.sh("entityos status --json")) as { epoch: string };
      const { epoch } = await facts();
      const rootReads = async () => (await cloud.peer.ask("look", {})).read.filter((arn) => arn === secretOf("root")).length;
      const before = await rootReads();
      // What another instance has: no file of the first boot, no line in fstab, users of other numbers.
      await registry.sh(`systemctl stop entityos-registry
chown -hR 4242:4242 /var/lib/entityos-registry
umount /var/lib/entityos-registry
sed -i '/entityos-registry/d' /etc/fstab
rm /var/lib/entityos-first-boot/done`);
      await cloud.peer.ask("instance", { id: "i-0aaaaaaaaaaaaaaa1" });
      await firstBoot(registry, cloud, registryInput(cloud, settings, volume.device));
      await isDone(registry);
      expect(await registry.sh("systemctl is-active entityos-registry")).to.equal("active\n");
      expect((await facts()).epoch).to.equal(epoch);
      expect(await rootReads()).to.equal(before);
    });

    it("become a host behind the gate that enforces, once an operator let it in; closed until then, and nothing is retried in vain", async () => {
      const { registry, stranger, registered, folder } = stand();
      const gate = stand().gates.at(-1) ?? registry;
      await firstBoot(gate, cloud, agentInput(cloud, gate, settings));
      await isClosed(gate);
      await using knocks = await provoke(stranger, gate);
      await said(gate, "Waiting for an operator");
      const { place, digest } = await asked(gate);
      expect(place).to.match(new RegExp(`^hosts/${gate.name}/i-[0-9a-f]+$`));
      expect((await cloud.peer.ask("look", {})).objects).to.include(`/${place}/agent.csr`);
      expect(await ask(stand(), registered, gate)).to.equal(SILENT);
      await expectMetadataOfRootAlone(gate);
      await serveApplication(gate);
      // Between two of its tries, in which it puts its own there again.
      await gate.sh("systemctl stop entityos-first-boot");
      await expectOthersRefused(place, digest);
      await registry.sh(`entityos-admit ${place} ${gate.v4},${gate.v6} ${digest}`);
      await again(gate);
      await isDone(gate);
      await reaches(gate, "enforcing");
      // A device of before, whose state is of another registry.
      rmSync(join(folder, registered.netns), { recursive: true, force: true });
      await register(stand(), registered);
      expect(await ask(stand(), registered, gate, { seconds: 30 })).to.equal(`${gate.name} answers`);
      expect(await ask(stand(), stranger, gate)).to.equal(SILENT);
      expect(knocks.answers).to.deep.equal([]);
      await expectAsByMetal(gate, REQUESTS);
      expect(await gate.sh(`dpkg -s ${FROM_MIRROR}`)).to.include("Status: install ok installed");
      expect(await gate.sh("nft list tables")).to.not.include("first_boot");
      await expectMetadataOfRootAlone(gate);
      const { refused } = await cloud.peer.ask("look", {});
      expect(refused.filter((line) => !/^404 GET \/(hosts\/|debian\/)/.test(line))).to.deep.equal([]);
    });

    /** Requests that somebody else put into a host's folder are not signed, whoever he is to the bucket. */
    async function expectOthersRefused(place: string, digest: string): Promise<void> {
      const { registry } = stand();
      const answer = await registry.sh(
        `cd $(mktemp -d) && entityos agent request web-9 --service --out . >/dev/null
. /usr/local/lib/entityos-instance
for one in agent.csr service.csr; do fetch ${place}/$one was-$one; store $one ${place}/$one; done
! entityos-admit ${place} gate.example ${digest} 2>&1
! entityos-admit ${place} gate.example 2>/dev/null
for one in agent.csr service.csr; do store was-$one ${place}/$one; done`,
      );
      expect(answer).to.match(
        new RegExp(`^entityos-admit: the requests in ${place} are others, of digest [0-9a-f]{64}: nobody is let in\n$`),
      );
      expect((await cloud.peer.ask("look", {})).objects).to.not.include(`/${place}/agent.crt`);
    }

    it("begin anew on a disk that was another instance's: no key, no certificate and no address of that one's", async () => {
      const { registry, registered } = stand();
      const gate = stand().gates.at(-1) ?? registry;
      const key = await gate.sh("sha256sum /etc/entityos-agent/agent.key");
      await cloud.peer.ask("instance", { id: "i-0bbbbbbbbbbbbbbb2" });
      await again(gate);
      await said(gate, "i-0bbbbbbbbbbbbbbb2 makes keys of its own");
      const { place, digest } = await asked(gate);
      expect(place).to.equal(`hosts/${gate.name}/i-0bbbbbbbbbbbbbbb2`);
      expect(await ask(stand(), registered, gate)).to.equal(SILENT);
      expect(await gate.sh("ls /etc/entityos-agent")).to.not.include(".crt");
      await registry.sh(`entityos-admit ${place} ${gate.v4},${gate.v6} ${digest}`);
      await again(gate);
      await waitFor(
        "the first boot to be done for the other instance",
        async () => (await gate.sh("cat /var/lib/entityos-first-boot/done")).includes("i-0bbb") || undefined,
        { timeoutMs: 60_000, everyMs: 200 },
      );
      await reaches(gate, "enforcing");
      expect(await gate.sh("sha256sum /etc/entityos-agent/agent.key")).to.not.equal(key);
      expect(await ask(stand(), registered, gate, { seconds: 30 })).to.equal(`${gate.name} answers`);
    });

    it("stay closed and without any package when a checksum is another one, say which, and go on once it is right", async () => {
      const { registry, stranger } = stand();
      const [gate = registry] = stand().gates;
      const right = agentInput(cloud, gate, settings);
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
