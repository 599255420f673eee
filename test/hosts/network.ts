import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Answers, Asks } from "../kernel/actor.ts";
import { addEnd, makeBridge, startActor } from "../kernel/bridge.ts";
import { type Sender, startSender } from "../kernel/frames.ts";
import { inNetns, run } from "../lab/exec.ts";
import type { Peer } from "../lab/peer.ts";
import { CGROUPS, removeCgroups } from "./cgroups.ts";
import { abandonedOf, holdName } from "./names.ts";

export const WORK = "/var/tmp";

/** A device on the hosts' link, in a network namespace of its own. */
export interface Device {
  readonly netns: string;
  readonly v4: string;
  readonly v6: string;
  readonly actor: Peer<Asks, Answers>;
  /** Runs a command as the device. */
  run(command: readonly string[], input?: string, timeoutMs?: number): Promise<string>;
  /** Hands that send a neighbour crafted IP packets as they are. */
  sender(mac: string): Sender;
}

/** A link with devices, to which machines are attached. */
export interface Network extends AsyncDisposable {
  /** Namespace of the bridge br0, in which machines are started. */
  readonly netns: string;
  readonly prefix: string;
  readonly devices: readonly Device[];
}

export const addressOf = (number: number) => ({ v4: `203.0.113.${number}`, v6: `2001:db8::${number}` });

/** Makes the link; device n has the address 101 + n. Takes away first what killed runs left. */
export async function startNetwork(devices: number): Promise<Network> {
  await sweep();
  await using stack = new AsyncDisposableStack();
  const { name: prefix } = stack.use(await holdName());
  stack.use(keepSwept(prefix));
  const netns = `${prefix}-net`;
  await makeBridge(netns, stack);
  const made: Device[] = [];
  for (let number = 0; number < devices; number++) made.push(await addDevice(prefix, netns, number, stack));
  const held = stack.move();
  return { netns, prefix, devices: made, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function addDevice(prefix: string, bridge: string, number: number, stack: AsyncDisposableStack): Promise<Device> {
  const options = { netns: `${prefix}-d${number}`, port: number, ...addressOf(101 + number), v6Length: 64 };
  const { netns, v4, v6, index } = await addEnd(bridge, options, stack);
  const actor = stack.use(await startActor(netns));
  return {
    netns,
    v4,
    v6,
    actor,
    run: (command, input = "", timeoutMs = 60_000) => run(inNetns(netns, command), { input, timeoutMs }),
    sender: (mac) => startSender(netns, { index, neighbour: mac }),
  };
}

const AFTERWARDS = fileURLToPath(new URL("afterwards.ts", import.meta.url));

/** A process that takes away what is left of this run when this one ends, however it does: it holds the other end of a pipe. */
function keepSwept(name: string): Disposable {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", AFTERWARDS, name], {
    detached: true,
    stdio: ["pipe", "ignore", "inherit"],
  });
  child.unref();
  return { [Symbol.dispose]: () => void child.stdin.end() };
}

/** Whoever made it and is gone was killed: its machines went with it, names and folders stayed. */
export async function sweep(): Promise<void> {
  const names = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  for (const name of await abandonedOf(names)) {
    await run(["ip", "netns", "delete", name]).catch((error: unknown) => {
      // Another sweep may have been there first.
      if (existsSync(join("/run/netns", name))) throw error;
    });
  }
  const cgroups = CGROUPS.filter((folder) => existsSync(folder)).flatMap((folder) => readdirSync(folder));
  for (const name of new Set(await abandonedOf(cgroups))) await removeCgroups(name);
  for (const name of await abandonedOf(readdirSync(WORK))) rmSync(join(WORK, name), { recursive: true, force: true });
}
