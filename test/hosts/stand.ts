import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BIN } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";
import { buildPackages } from "./dist.ts";
import { baseImage, type Suite } from "./image.ts";
import { agentYaml, connect, enrol, install, installRegistry, REGISTRY_NAME, reaches, serveApplication } from "./install.ts";
import { Machine } from "./machine.ts";
import { addressOf, type Device, type Network, startNetwork, WORK } from "./network.ts";

/** A registry and two gates on booted Debians, with everything installed from packages, and three devices. */
export interface Stand extends AsyncDisposable {
  readonly registry: Machine;
  readonly gates: readonly Machine[];
  readonly registered: Device;
  readonly stranger: Device;
  readonly operator: Device;
  /** Folder for files of the test. */
  readonly folder: string;
  /** Milliseconds from `apt install` to READY, by host. */
  readonly readyMs: Readonly<Record<string, number>>;
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
  await buildPackages(dist);
  const machines: Machine[] = [];
  for (const [index, suite] of (["bookworm", ...GATES] as const).entries())
    machines.push(stack.use(await startMachine(network, folder, dist, index, suite)));
  const [registry, ...gates] = machines;
  const [registered, stranger, operator] = network.devices;
  if (registry === undefined || registered === undefined || stranger === undefined || operator === undefined)
    throw new Error("unreachable");
  await installRegistry(registry);
  const readyMs: Record<string, number> = {};
  for (const gate of gates) readyMs[gate.name] = await installGate(gate, registry, operator);
  const held = stack.move();
  return { registry, gates, registered, stranger, operator, folder, readyMs, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

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

/** @returns milliseconds from the start of apt to READY */
async function installGate(gate: Machine, registry: Machine, operator: Device): Promise<number> {
  const started = performance.now();
  await install(gate, "1", ["agent", "cli"]);
  await serveApplication(gate);
  // As on many hosts: its rules come, and everything else goes, early at each boot.
  await gate.sh("systemctl enable nftables");
  await gate.sh("cat >/etc/entityos-agent/agent.yaml", { input: agentYaml(gate, registry, operator.v4) });
  await enrol(gate, registry);
  await gate.sh("systemctl start entityos-agent || { journalctl --no-pager -n 40 -u entityos-agent >&2; exit 1; }");
  const readyMs = performance.now() - started;
  await reaches(gate, "enforcing");
  return readyMs;
}

/** Registers a device over HTTPS with a new code; resolves when it is in force on every host. */
export async function register({ registry, folder }: Stand, device: Device): Promise<void> {
  const made = await registry.sh("entityos code create --subject test --profile desktop --json");
  const ca = join(folder, "ca.pem");
  await run(["sh", "-c", `cat >${ca}`], { input: await registry.sh("cat /var/lib/entityos-registry/pki/root.crt") });
  const words = ["--url", `https://${registry.v4}`, "--registry", REGISTRY_NAME, "--ca", ca, "--code-file", "-", "--wait"];
  const state = join(folder, device.netns);
  await device.run([BIN.cli, "enroll", ...words, "--state", state], (JSON.parse(made) as { code: string }).code);
}

/** What the application behind a gate says to a device, or how curl ended (28: nothing came back in time). */
export async function ask({ folder }: Stand, device: Device, gate: Machine, seconds = 2): Promise<string | number> {
  const words = ["--silent", "--show-error", "--max-time", String(seconds), "--cacert", join(folder, "ca.pem")];
  return await device.run(["curl", ...words, `https://${gate.v4}/`]).catch((error: { code?: number | null }) => error.code ?? -1);
}
