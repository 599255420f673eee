import { parseArgs } from "node:util";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { serve } from "../../registry/serve.ts";
import { servePeer } from "../lab/peer.ts";
import { startBare, startProven } from "./register-floors.ts";
import { prepareRegistry, REGISTRY, type StartAsk } from "./register-prepared.ts";

/** What a server is: the registry with both roles in one process, or one of its floors (register-floors.ts). */
export type RegisterKind = "registry" | "bare" | "proven";

/** One process that takes registrations, of the kind that `--kind` says. */
export interface RegisterServerAsks {
  start: StartAsk;
  usage: Record<string, never>;
}
export interface RegisterServerAnswers {
  start: { readonly url: string; readonly ca: string; readonly code: string; readonly registry: string };
  /** Microseconds of processor that the process used since it began: all its threads, and the one that serves. */
  usage: { readonly cpuUs: number; readonly mainUs: number };
}

async function startRegistry(ask: StartAsk): Promise<RegisterServerAnswers["start"]> {
  const { config, root: ca, code } = await prepareRegistry(ask);
  await serve(config, systemClock, silentLog);
  return { url: `https://localhost:${ask.port}`, ca, code, registry: REGISTRY };
}

const KINDS = { registry: startRegistry, bare: startBare, proven: startProven } satisfies Record<RegisterKind, unknown>;

const { values } = parseArgs({ options: { kind: { type: "string", default: "bare" } } });

servePeer({
  start: KINDS[values.kind as RegisterKind],
  async usage(): Promise<RegisterServerAnswers["usage"]> {
    const [all, main] = [process.cpuUsage(), process.threadCpuUsage()];
    return { cpuUs: all.user + all.system, mainUs: main.user + main.system };
  },
});
