import type { Flow } from "../../../agent/target.ts";
import { HaproxyTarget } from "../../../agent/terminator/haproxy.ts";
import { NginxTarget } from "../../../agent/terminator/nginx.ts";
import type { TerminatorOptions } from "../../../agent/terminator/settings.ts";
import { silentLog } from "../../../lib/log.ts";
import type { TerminatorScene } from "./scene.ts";

const fetchCrl = () => Promise.reject(new Error("no CRL is too large here"));

/** The cut of an agent that is killed in the middle of it: what it begins it neither does nor sees fail before it is told so. */
export function dyingCut() {
  const [begun, killing] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const cut = async () => {
    begun.resolve();
    await killing.promise;
    throw new Error("killed");
  };
  return { cut, begun: begun.promise, kill: killing.resolve };
}

/** The next agent of a host with HAProxy. @param cut gets the clients' ports of what it cuts */
export const nextHaproxyTarget = (
  { config }: Pick<TerminatorScene, "config">,
  cut: number[],
  more: Partial<Pick<TerminatorOptions, "now" | "tendMs">> = {},
): HaproxyTarget =>
  new HaproxyTarget({
    config,
    log: silentLog,
    signal: new AbortController().signal,
    now: Date.now,
    cut: async (flows) => void cut.push(...flows.map(({ port }) => port)),
    fetchCrl,
    ...more,
  });

/** What the next agent cuts, which finds everything in its state. */
export async function nextAgent(
  { config, desired }: TerminatorScene,
  flow: Flow,
  cut: Flow[],
  signal = new AbortController().signal,
): Promise<void> {
  const more = { connections: async () => [{ ...flow, to: "" }], close: async () => {}, fetchCrl, now: Date.now, log: silentLog };
  await using target = await NginxTarget.start({ config, signal, cut: async (flows) => void cut.push(...flows), ...more });
  await target.resync(desired, signal);
}
