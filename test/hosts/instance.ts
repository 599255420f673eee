import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DebianPackage, UserDataInput } from "../../infra/aws/boot/input.ts";
import { METADATA, userData } from "../../infra/aws/user-data.ts";
import { agentYaml, registryYaml } from "../../infra/hosts.ts";
import type { MetalSettings } from "../../infra/metal/settings.ts";
import { makePki } from "../../registry/ca/files.ts";
import { inNetns, run } from "../lab/exec.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import { waitFor } from "../lab/wait.ts";
import type { Answers, Asks } from "./cloud.ts";
import type { Machine } from "./machine.ts";
import type { Stand } from "./stand.ts";

const CLOUD = fileURLToPath(new URL("cloud.ts", import.meta.url));
/** What the mirror has and no machine: apt must have asked it. */
export const FROM_MIRROR = "eos-from-mirror";
const CAS = ["root", "infrastructure", "device"] as const;
export const secretOf = (name: string): string => `arn:aws:secretsmanager:eu-west-1:123456789012:secret:${name}`;
const LONG = { timeoutMs: 180_000, everyMs: 200 };
const [, METADATA_ADDRESS = ""] = METADATA.split("//");

export interface Cloud extends AsyncDisposable {
  readonly peer: Peer<Asks, Answers>;
  readonly url: string;
  /** Of the programs, by name: "agent". */
  readonly packages: (...names: string[]) => readonly DebianPackage[];
  readonly pki: string;
}

/** Bucket, secrets and mirror on the operator's address, metadata on EC2's own, with everything in them that two instances need. */
export async function startCloud({ operator, folder }: Stand): Promise<Cloud> {
  await using stack = new AsyncDisposableStack();
  await operator.run(["ip", "address", "replace", `${METADATA_ADDRESS}/32`, "dev", "lo"]);
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
export async function firstBoot(machine: Machine, { url }: Cloud, input: UserDataInput): Promise<void> {
  await machine.sh(`ip route replace ${METADATA_ADDRESS} dev host0
rm -rf /etc/apt/sources.list.d/* && echo 'deb [trusted=yes] ${url}/debian ./' >/etc/apt/sources.list`);
  await machine.sh("sh -s", { input: userData(input) });
}

/** By the program's name: in a machine of a machine's the journal does not always know whose unit a line is of. */
const journal = (machine: Machine, lines: string) => machine.sh(`journalctl --no-pager -n ${lines} -t entityos-first-boot -t systemd`);

/** Waits for what becomes of a first boot. @throws Error with the end of what it said */
const until = (machine: Machine, what: string, isTrue: () => Promise<boolean>) =>
  waitFor(`${machine.name} to ${what}`, async () => (await isTrue()) || undefined, LONG).catch(async (cause: unknown) => {
    throw new Error(await journal(machine, "60"), { cause });
  });
export const isDone = (machine: Machine) =>
  until(machine, "be done", async () => (await machine.sh("ls /var/lib/entityos-first-boot || true")).includes("done"));
export const said = (machine: Machine, text: string) =>
  until(machine, `say '${text}'`, async () => (await journal(machine, "all")).includes(text));
export const isClosed = (machine: Machine) =>
  until(machine, "close itself", async () => (await machine.sh("nft list tables")).includes("inet entityos_first_boot"));

/** Does not wait for the next try, for which an instance has its time. */
export const again = (machine: Machine) => machine.sh("systemctl restart --no-block entityos-first-boot");

/** What a host that waits asks for on its console, which EC2 shows: in a machine without one, a file in its place. */
export async function asked(machine: Machine): Promise<{ readonly place: string; readonly digest: string }> {
  await machine.sh("rm -f /run/entityos-first-boot-told /dev/console");
  await again(machine);
  const [, place = "", digest = ""] = await waitFor(
    `${machine.name}'s console to say what it asks for`,
    async () =>
      /entityos-admit (hosts\/\S+) NAMES ([0-9a-f]{64})\n/.exec(await machine.sh("cat /dev/console 2>/dev/null || true")) ?? undefined,
    LONG,
  );
  return { place, digest };
}

const common = (cloud: Cloud) => ({ region: "eu-west-1", bucket: cloud.url, metadata: METADATA });

export function registryInput(cloud: Cloud, { registry }: MetalSettings, volume: string): UserDataInput {
  const certificates = Object.fromEntries(CAS.map((name) => [name, readFileSync(join(cloud.pki, `${name}.crt`), "utf8")]));
  return {
    ...common(cloud),
    name: "registry",
    packages: cloud.packages("node", "registry", "cli"),
    debian: [],
    files: [{ path: "/etc/entityos-registry/registry.yaml", mode: "0644", text: registryYaml(registry.input) }],
    role: {
      kind: "registry",
      volume,
      secrets: cloud.url,
      certificates,
      keys: (["infrastructure", "device"] as const).map((name) => ({ name, secret: secretOf(name) })),
      rootKey: { secret: secretOf("root"), atHand: true },
      signsAtAws: false,
    },
  };
}

export function agentInput(cloud: Cloud, machine: Machine, { agents }: MetalSettings): UserDataInput {
  const folder = "/etc/entityos-agent";
  const agent = agents.find(({ connection }) => connection.name === machine.name);
  if (agent === undefined) throw new Error(`the settings do not name ${machine.name}`);
  return {
    ...common(cloud),
    name: machine.name,
    packages: cloud.packages("node", "agent", "cli"),
    debian: ["haproxy", FROM_MIRROR],
    files: [
      { path: `${folder}/agent.yaml`, mode: "0644", text: agentYaml(agent.input) },
      { path: `${folder}/ca.pem`, mode: "0644", text: readFileSync(join(cloud.pki, "root.crt"), "utf8") },
    ],
    role: { kind: "agent" },
  };
}
