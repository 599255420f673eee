import { createMaster, readWorkers } from "../../agent/terminator/master.ts";
import type { CertificateAuthority } from "../../lib/admin/api.ts";
import { openControl } from "../../registry/cli/control.ts";
import { BIN, masterSocket } from "../lab/configs.ts";
import { inNetns } from "../lab/exec.ts";
import { startLab } from "../lab/lab.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import { LAB } from "../lab/plan.ts";
import { findProcess, isAlive, sendSignal } from "../lab/processes.ts";
import { agentOf, operator, startAgent, terminatorOf } from "../lab/programs.ts";
import { Scene } from "../lab/scene.ts";
import { waitFor } from "../lab/wait.ts";
import type { Answers, Asks, Way } from "./client.ts";

export interface Wish {
  readonly name: string;
  /** How often a certificate is revoked, each time with another list. */
  readonly lists: number;
  readonly reloads: number;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

export interface Result {
  readonly updates: readonly string[];
  /** Of all devices, by how they ask. */
  readonly answered: Readonly<Record<Way, number>>;
  readonly refused: readonly string[];
}

type Client = Peer<Asks, Answers>;
type Update = readonly [what: string, run: () => Promise<void>];

/** Every update meets this many requests of every device in each way before the next one comes. */
const ANSWERS_BETWEEN = 10;
const TIMEOUT_MS = 30_000;

/**
 * Valid devices of every pattern ask all the time while lists are renewed, the device CA is rotated, HAProxy is reloaded as its unit does
 * it, and the agent restarts.
 */
export async function runUpdates({ name, lists, reloads, signal, progress }: Wish): Promise<Result> {
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await startLab({ name, agents: 1, devices: 3, roaming: 1, signal, progress }));
  const scene = stack.use(await Scene.open(lab));
  const clients = await validDevices(scene, stack);
  const done: string[] = [];
  for (const [what, run] of await plannedUpdates(scene, lists, reloads)) {
    signal.throwIfAborted();
    progress(what);
    await run();
    await Promise.all(clients.map((client) => client.ask("more", { answers: ANSWERS_BETWEEN })));
    done.push(what);
  }
  await replacedWorkersEnd(scene, signal);
  const told = await Promise.all(clients.map((client) => client.ask("stop", {})));
  const sum = (way: Way) => told.reduce((total, { answered }) => total + answered[way], 0);
  return {
    updates: done,
    answered: { kept: sum("kept"), new: sum("new"), http2: sum("http2") },
    refused: told.flatMap(({ refused }, at) => refused.map((what) => `device${at + 1}: ${what}`)),
  };
}

/** By address alone, by certificate from anywhere, and by both halves. */
async function validDevices(scene: Scene, stack: AsyncDisposableStack): Promise<readonly Client[]> {
  await scene.register(0, await scene.makeCode("desktop", 1));
  const laptop = await scene.certify(1, await scene.makeCode("laptop", 1, LAB.certProfile));
  const vault = await scene.certify(2, await scene.makeCode("vault", 1, LAB.bothProfile), ["observed"]);
  await scene.applied(await scene.headRevision());
  return Promise.all(
    [null, laptop.client, vault.client].map(async (client, device) => {
      const command = inNetns(scene.device(device).netns, [BIN.run, "test/updates/client.ts"]);
      const peer = stack.use(await startPeer<Asks, Answers>(command));
      await peer.ask("start", { host: scene.host().address, ca: scene.ca, client });
      await peer.ask("more", { answers: 1 });
      return peer;
    }),
  );
}

/** Lists first and last; in between, evenly, the rotation, the reloads and the restart. */
async function plannedUpdates(scene: Scene, lists: number, reloads: number): Promise<readonly Update[]> {
  const code = await scene.makeCode("lost", lists, LAB.certProfile);
  const others: Update[] = [
    ["the device CA is rotated", () => rotate(scene)],
    ...Array.from({ length: reloads }, (_, at): Update => [`HAProxy is reloaded, ${at + 1}`, () => reload(scene)]),
    ["the agent restarts", () => restart(scene)],
  ];
  const updates: Update[] = [];
  for (let list = 0; list < lists; list++) {
    updates.push([`a certificate is revoked and its CA's list renewed, ${list + 1}`, () => renewList(scene, code)]);
    const due = Math.ceil(((list + 1) * others.length) / lists) - Math.ceil((list * others.length) / lists);
    updates.push(...others.splice(0, due));
  }
  return [...updates, ...others];
}

const authorities = async (scene: Scene): Promise<readonly CertificateAuthority[]> =>
  (await openControl({ socket: scene.lab.description.controlSocket })).get<readonly CertificateAuthority[]>("/authorities");

async function renewList(scene: Scene, code: string): Promise<void> {
  const lost = await scene.certify(0, code);
  const newest = async () =>
    Math.max(...(await authorities(scene)).flatMap(({ role, crl }) => (role === "device CA" ? (crl?.number ?? 0) : [])));
  const before = await newest();
  await scene.revokeNow(lost.device);
  await waitFor("the next list", async () => (await newest()) > before || undefined, { timeoutMs: TIMEOUT_MS });
  await scene.applied(await scene.headRevision());
}

async function rotate(scene: Scene): Promise<void> {
  const active = async () => (await authorities(scene)).find(({ role, state }) => role === "device CA" && state === "active")?.id;
  const before = await active();
  await operator(scene.lab.plan, ["ca", "rotate"]);
  await waitFor("the next CA to sign", async () => (await active()) !== before || undefined, { timeoutMs: TIMEOUT_MS });
  await scene.applied(await scene.headRevision());
}

/** However much their clients ask: a connection that stayed would be cut in a request when the worker's time is over. */
async function replacedWorkersEnd(scene: Scene, signal: AbortSignal): Promise<void> {
  const master = createMaster(masterSocket(scene.lab.plan, scene.host()));
  const none = async () => readWorkers(await master.command("show proc", { signal })).old.length === 0 || undefined;
  await waitFor("replaced workers to end", none, { timeoutMs: TIMEOUT_MS, signal });
}

/** What `systemctl reload entityos-terminator` does. */
async function reload(scene: Scene): Promise<void> {
  const id = findProcess(scene.lab.plan.folder, terminatorOf(scene.host()));
  if (id === undefined) throw new Error("no HAProxy runs");
  sendSignal(id, "SIGUSR2");
}

async function restart(scene: Scene): Promise<void> {
  const { plan } = scene.lab;
  const id = findProcess(plan.folder, agentOf(scene.host()));
  if (id === undefined) throw new Error("no agent runs");
  sendSignal(id, "SIGTERM");
  await waitFor("the agent to end", () => !isAlive(id) || undefined);
  await startAgent(plan, scene.host());
}
