import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BIN } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";
import { buildPackages } from "./dist.ts";
import { baseImage, SUITES, type Suite } from "./image.ts";
import { connect, letIn, REGISTRY_NAME } from "./install.ts";
import { Machine } from "./machine.ts";
import { keyOf, Metal } from "./metal.ts";
import { addressOf, type Device, type Network, startNetwork, WORK } from "./network.ts";
import { CommandLines } from "./secrets.ts";

/** Booted Debians that are to be a registry and two gates, with nothing of ours on them yet, and three devices. */
export interface Stand extends AsyncDisposable {
  readonly registry: Machine;
  readonly gates: readonly Machine[];
  readonly registered: Device;
  readonly stranger: Device;
  readonly operator: Device;
  /** Folder for files of the test; dist/1 has the packages. */
  readonly folder: string;
  /** What they are made by, run by the operator. */
  readonly metal: Metal;
  /** Security codes that were made. */
  readonly codes: string[];
  /** Of the first deploy. */
  readonly commandLines: CommandLines;
}

/** Debian 12 for one gate, Debian 13 for the other. */
const GATES: readonly Suite[] = ["bookworm", "trixie"];

export async function makeStand(): Promise<Stand> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await startNetwork(3));
  const folder = join(WORK, network.prefix);
  mkdirSync(folder, { recursive: true });
  stack.defer(async () => {
    await run(["rm", "-rf", folder]);
  });
  const dist = join(folder, "dist");
  await Promise.all([buildPackages(dist), ...SUITES.map(baseImage)]);
  const machines: Machine[] = [];
  for (const [index, suite] of (["bookworm", ...GATES] as const).entries())
    machines.push(stack.use(await startMachine(network, folder, dist, index, suite)));
  const [registry, ...gates] = machines;
  const [registered, stranger, operator] = network.devices;
  if (registry === undefined || registered === undefined || stranger === undefined || operator === undefined)
    throw new Error("unreachable");
  const key = keyOf(folder);
  await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
  const metal = new Metal(folder, operator, [registry, ...gates], (machine) => userOf(machine));
  for (const machine of machines) await letIn(machine, userOf(machine), readFileSync(`${key}.pub`, "utf8"));
  // As on many hosts: its rules come, and everything else goes, early at each boot.
  for (const gate of gates) await gate.sh("systemctl enable nftables");
  const held = stack.move();
  const seen = { codes: [], commandLines: new CommandLines() };
  return { registry, gates, registered, stranger, operator, folder, metal, ...seen, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** Debian 13 is deployed to by an ordinary user with sudo, the others by root. */
const userOf = ({ options }: Machine): string => (options.image.includes("trixie") ? "ops" : "root");

async function startMachine(network: Network, folder: string, dist: string, index: number, suite: Suite): Promise<Machine> {
  const name = `${network.prefix}-${index}`;
  const image = await baseImage(suite);
  const machine = new Machine({ name, image, folder: join(folder, name), netns: network.netns, dist, ...addressOf(10 + index) });
  try {
    await machine.boot();
    await connect({ v4: machine.v4, v6: machine.v6, sh: (script) => machine.sh(script) });
    return machine;
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

/** What a registration asks for. */
export interface Wish {
  readonly profile: string;
  /** More words for `entityos enroll`. */
  readonly words: readonly string[];
}

const DESKTOP: Wish = { profile: "desktop", words: [] };

/** Registers a device over HTTPS with a new code; resolves when it is in force on every host. */
export async function register({ registry, folder, codes }: Stand, device: Device, { profile, words }: Wish = DESKTOP): Promise<void> {
  const made = await registry.sh(`entityos code create --subject test --profile ${profile} --json`);
  const { code } = JSON.parse(made) as { code: string };
  codes.push(code);
  const ca = join(folder, "ca.pem");
  await run(["sh", "-c", `cat >${ca}`], { input: await registry.sh("cat /var/lib/entityos-registry/pki/root.crt") });
  const common = ["--url", `https://${registry.v4}`, "--registry", REGISTRY_NAME, "--ca", ca, "--code-file", "-", "--wait"];
  const state = join(folder, device.netns);
  await device.run([BIN.cli, "enroll", ...common, ...words, "--state", state], code);
}

/** curl's words for showing the certificate that a device registered. */
export const certificateOf = ({ folder }: Stand, { netns }: Device): readonly string[] => {
  const held = join(folder, netns, "certificate");
  return ["--cert", join(held, "certificate.pem"), "--key", join(held, "key.pem")];
};

/** What the application behind a gate says to a device, or how curl ended (28: nothing came back in time). */
export async function ask(
  { folder }: Stand,
  device: Device,
  gate: Machine,
  { seconds = 2, words = [] }: { readonly seconds?: number; readonly words?: readonly string[] } = {},
): Promise<string | number> {
  const common = ["--silent", "--show-error", "--max-time", String(seconds), "--cacert", join(folder, "ca.pem")];
  return await device
    .run(["curl", ...common, ...words, `https://${gate.v4}/`])
    .catch((error: { code?: number | null }) => error.code ?? -1);
}
