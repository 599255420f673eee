import { readdirSync, readFileSync } from "node:fs";
import { delay } from "../../lib/abort.ts";
import { inNetns, run } from "../lab/exec.ts";
import type { Member } from "../lab/plan.ts";
import { identify, type ProcessId, sendSignal } from "../lab/processes.ts";
import { agentOf } from "../lab/programs.ts";
import type { Chance } from "./random.ts";
import type { Supervisor } from "./supervisor.ts";

/** What is done to a part of the system, at a moment of a round. */
export interface Strike {
  readonly what: string;
  readonly afterMs: number;
  /** @returns false when there was nothing to strike at that moment */
  run(): Promise<boolean>;
}

const MOST_AFTER_MS = 1_500;
const FREEZE_MS = [50, 3_000] as const;
const REGISTRY = { kill: 5, freeze: 3, spare: 4 };
/** What may befall one host in one round, all of it in one moment: a flush while the agent and its floor are down among it. */
const HOST = { killAgent: 5, killFloor: 3, freezeFloor: 1, flush: 5, freezeAgent: 2, killNft: 3, freezeNft: 2, killMonitor: 1 } as const;
type HostStrike = keyof typeof HOST;

/** Command lines of an agent's children. */
export const CHILD = { Nft: /\bnft\0-t\0-j\0-i\0$/, Floor: /\bnft\0-i\0$/, Monitor: /\bnft\0.*monitor/ } as const;

/** Up to `most` strikes of a round, in the order of their moments. */
export function drawStrikes(chance: Chance, supervisor: Supervisor, hosts: readonly Member[], most: number): readonly Strike[] {
  const strikes: Strike[] = [];
  const registry = chance.weighted(REGISTRY);
  if (registry !== "spare") strikes.push(programStrike(registry, "registry", chance, supervisor));
  const wanted = chance.whole(1, most);
  while (strikes.length < wanted) {
    const host = chance.pick(hosts);
    const kind = chance.weighted<HostStrike>(HOST);
    strikes.push(hostStrike(kind, host, chance, supervisor));
  }
  return strikes.toSorted((a, b) => a.afterMs - b.afterMs);
}

/** Strikes one after the other, each at its moment; what was frozen is thawed at the end. @returns what was done */
export async function carryOut(strikes: readonly Strike[], signal: AbortSignal): Promise<readonly string[]> {
  const startedAt = performance.now();
  const done = await Promise.all(
    strikes.map(async (strike) => {
      await delay(Math.max(0, strike.afterMs - (performance.now() - startedAt)), signal);
      return (await strike.run()) ? [strike.what] : [];
    }),
  );
  return done.flat();
}

function programStrike(kind: "kill" | "freeze", name: string, chance: Chance, supervisor: Supervisor): Strike {
  const afterMs = chance.whole(0, MOST_AFTER_MS);
  if (kind === "kill") return { what: `kill ${name}`, afterMs, run: async () => supervisor.kill(name) };
  const freezeMs = chance.whole(...FREEZE_MS);
  return { what: `freeze ${name} ${freezeMs} ms`, afterMs, run: () => freeze(supervisor.find(name), freezeMs) };
}

function hostStrike(kind: HostStrike, host: Member, chance: Chance, supervisor: Supervisor): Strike {
  const agent = agentOf(host);
  const afterMs = chance.whole(0, MOST_AFTER_MS);
  const freezeMs = chance.whole(...FREEZE_MS);
  const child = (which: keyof typeof CHILD) => childOf(supervisor.find(agent), CHILD[which]);
  switch (kind) {
    case "killAgent":
      return programStrike("kill", agent, chance, supervisor);
    case "freezeAgent":
      return programStrike("freeze", agent, chance, supervisor);
    case "killNft":
    case "killFloor":
    case "killMonitor": {
      const which = kind.slice("kill".length) as keyof typeof CHILD;
      return { what: `kill ${host.name}-${which.toLowerCase()}`, afterMs, run: async () => kill(child(which)) };
    }
    case "freezeNft":
    case "freezeFloor": {
      const which = kind.slice("freeze".length) as keyof typeof CHILD;
      return { what: `freeze ${host.name}-${which.toLowerCase()} ${freezeMs} ms`, afterMs, run: () => freeze(child(which), freezeMs) };
    }
    case "flush":
      return { what: `flush ${host.name}`, afterMs, run: () => flush(host) };
  }
}

function kill(id: ProcessId | undefined): boolean {
  if (id !== undefined) sendSignal(id, "SIGKILL");
  return id !== undefined;
}

async function freeze(id: ProcessId | undefined, ms: number): Promise<boolean> {
  if (id === undefined) return false;
  sendSignal(id, "SIGSTOP");
  try {
    await delay(ms, new AbortController().signal);
  } finally {
    sendSignal(id, "SIGCONT");
  }
  return true;
}

/** Another program's `nft flush ruleset`: it cannot touch what the floor's holder owns, and says so. */
async function flush(host: Member): Promise<boolean> {
  await run(inNetns(host.netns, ["nft", "flush", "ruleset"]));
  return true;
}

/** A child of an agent by its command line; undefined while there is none. */
export function childOf(parent: ProcessId | undefined, commandLine: RegExp): ProcessId | undefined {
  if (parent === undefined) return undefined;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      const ppid = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      if (ppid === parent.pid && commandLine.test(readFileSync(`/proc/${name}/cmdline`, "utf8"))) return identify(Number(name));
    } catch {
      // It ended while it was looked at.
    }
  }
  return undefined;
}
