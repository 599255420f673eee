import type { Flow } from "../../../agent/target.ts";
import { NginxTarget } from "../../../agent/terminator/nginx.ts";
import { silentLog } from "../../../lib/log.ts";
import type { TerminatorScene } from "./scene.ts";

/** What the next agent cuts, which finds everything in its state. */
export async function nextAgent(
  { config, desired }: TerminatorScene,
  flow: Flow,
  cut: Flow[],
  signal = new AbortController().signal,
): Promise<void> {
  const fetchCrl = async () => {
    throw new Error("no CRL is too large here");
  };
  const more = { connections: async () => [flow], close: async () => {}, fetchCrl, now: Date.now, log: silentLog };
  await using target = await NginxTarget.start({ config, signal, cut: async (flows) => void cut.push(...flows), ...more });
  await target.resync(desired, signal);
}
