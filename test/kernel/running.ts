import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAgentConfig } from "../../agent/config.ts";
import { loaded } from "../../agent/reload.ts";
import { runAgent } from "../../agent/run.ts";
import { type AgentStatus, queryStatus } from "../../agent/status.ts";
import { Wakeup } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { LANES, PATH, PORT, type RuleLane } from "../../lib/service.ts";
import type { Notifier } from "../../lib/systemd.ts";
import { commandLine } from "../lab/command-line.ts";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { type Control, startControl } from "../registry/feed/setup.ts";
import { makeScene, type Scene } from "./netns.ts";

const HOUR_MS = 3_600_000;

export interface RunningOptions {
  readonly config?: object;
  readonly clock?: Clock;
  readonly notifier?: Partial<Notifier>;
  /** Folder of an nft that the agent is to use. */
  readonly nft?: string;
}

/** A whole agent in this process over the nftables of a scene's host, fed by a real control listener on loopback. */
export interface RunningScene extends Scene {
  readonly control: Control;
  readonly folder: string;
  status(): Promise<AgentStatus>;
  /** Names of its alarms, but for the one that tells how slow this machine is. */
  alarms(): Promise<string[]>;
  /** Commits a rule and resolves once the agent says that it is in force. */
  admit(lane: RuleLane, prefix: string, lifeMs?: number): Promise<void>;
  revoke(lane: RuleLane, prefix: string): Promise<void>;
  /** Resolves once the agent has this revision in force. */
  inForce(revision: number): Promise<AgentStatus>;
  /** Process ids of the agent's nft with these words. */
  nftPids(words: string): number[];
  nft(command: string): Promise<string>;
  /** Addresses in one of the gate's sets, without their lives. */
  elements(set: string): Promise<string[]>;
  /** Has the agent read this configuration, as SIGHUP does. */
  reload(config: object): void;
  stop(): Promise<void>;
  start(options?: RunningOptions): Promise<void>;
}

export const KEPT_OPEN = "nft -t -j -i";
export const FLOOR = "nft -i";
export const SILENT_NOTIFIER: Notifier = {
  watchdogMs: null,
  async ready() {},
  async status() {},
  async reloading() {},
  async alive() {},
  async stopping() {},
};

export async function makeRunningScene(devices: number, options: RunningOptions = {}): Promise<RunningScene> {
  await using stack = new AsyncDisposableStack();
  const scene = stack.use(await makeScene(devices));
  const { within } = scene.host;
  const searching = options.nft === undefined ? [] : ["env", `PATH=${options.nft}:${process.env.PATH}`];
  const folder = stack.adopt(mkdtempSync(join(tmpdir(), "eos-run-")), (path) => rmSync(path, { recursive: true, force: true }));
  const control = stack.use(await startControl());
  const identity = await control.enroll("host");
  for (const lane of LANES) await scene.host.actor.ask("serve", { port: PORT.listener[lane], label: lane });
  let running: { abort: AbortController; ended: Promise<void>; bell: Wakeup; next: object } | null = null;
  const socket = join(folder, "run", PATH.agentSocketName);
  const status = () => queryStatus(socket);
  const inForce = (revision: number) =>
    waitFor(
      "the revision to be in force",
      async () => {
        const now = await status();
        return now.revision >= revision && now.state === "enforcing" ? now : undefined;
      },
      { timeoutMs: 30_000 },
    );
  const commit = async (...changes: Parameters<Control["commit"]>) => void (await inForce(await control.commit(...changes)));
  const start = async ({ config = {}, clock, notifier = {} }: RunningOptions = options) => {
    const abort = new AbortController();
    const fileOf = (more: object) => ({
      name: "host",
      registry: { addresses: [control.url], ...identity },
      stateDir: join(folder, "state"),
      runtimeDir: join(folder, "run"),
      groundDir: join(folder, "ground"),
      gate: { lanes: { ip: true, ipcert: true }, newConnections: { perSecond: 100_000, burst: 100_000 } },
      ...more,
    });
    const load = (more: object) => loaded(parseAgentConfig("test", JSON.stringify(fileOf(more))));
    const bell = new Wakeup();
    const parts = {
      version: "test",
      log: silentLog,
      within: [...within, ...searching],
      signal: abort.signal,
      notifier: { ...SILENT_NOTIFIER, ...notifier },
    };
    const reloads = { bell, load: () => load(running?.next ?? config) };
    const ended = runAgent({ loaded: load(config), reloads, ...parts, ...(clock ? { clock } : {}) });
    running = { abort, ended, bell, next: config };
    const failed = ended.then(() => Promise.reject(new Error("the agent ended")));
    await Promise.race([failed, waitFor("the agent to answer", () => status().catch(() => undefined), { timeoutMs: 30_000 })]);
    ended.catch(() => {});
    failed.catch(() => {});
  };
  const stop = async () => {
    running?.abort.abort();
    await running?.ended;
    running = null;
  };
  stack.defer(stop);
  await start(options);
  const held = stack.move();
  return {
    ...scene,
    control,
    folder,
    status,
    alarms: async () => (await status()).alarms.map(({ name }) => name).filter((name) => name !== "apply_slow"),
    inForce,
    start,
    stop,
    admit: (lane, prefix, lifeMs = HOUR_MS) => commit({ kind: "rule.set", lane, prefix, expiresAt: Date.now() + lifeMs }),
    revoke: (lane, prefix) => commit({ kind: "rule.remove", lane, prefix }),
    reload(config) {
      if (running === null) throw new Error("no agent runs");
      running.next = config;
      running.bell.ring();
    },
    nftPids,
    nft: (command) => run([...within, "nft", command]),
    async elements(set) {
      const listed = JSON.parse(await run([...within, "nft", "-j", "list", "set", "inet", "entityos", set]));
      const found = listed.nftables.find((entry: object) => "set" in entry)?.set.elem ?? [];
      return found.map((one: string | { elem: { val: string } }) => (typeof one === "string" ? one : one.elem.val)).sort();
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** Children of this process by their command line. */
export function nftPids(words: string): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ");
  return children.map(Number).filter((pid) => commandLine(pid).endsWith(words));
}
