import type { TerminatorKind } from "../../agent/config.ts";
import { BIN } from "../lab/configs.ts";
import { startPeer } from "../lab/peer.ts";
import type { Measured, Wish } from "./stats.ts";
import type { TerminatorAnswers, TerminatorAsks } from "./terminator-worker.ts";

const NAME: Readonly<Record<TerminatorKind, string>> = { haproxy: "HAProxy", nginx: "nginx" };
const mib = (bytes: number): string => `${Math.round(bytes / (1 << 20)).toLocaleString("en")} MiB`;

/** How long a terminator takes to be renewed with so many registered certificates, and in the note the memory that they cost. */
export const measureTerminator =
  (kind: TerminatorKind) =>
  async ({ elements, samples, progress, signal }: Wish): Promise<Measured> => {
    const count = elements.toLocaleString("en");
    progress(`${NAME[kind]}, ${count} certificates: starting`);
    await using stack = new AsyncDisposableStack();
    const worker = stack.use(await startPeer<TerminatorAsks, TerminatorAnswers>([BIN.run, "test/bench/terminator-worker.ts"]));
    stack.defer(async () => void (await worker.ask("stop", {})));
    const empty = await worker.ask("start", { kind });
    const measured = { samples: [] as number[], floor: [] as number[] };
    for (let i = 0; i < samples; i++) measured.floor.push((await worker.ask("renew", {})).ms);
    const { stateBytes } = await worker.ask("register", { certificates: elements });
    let last = empty;
    let peak = 0;
    for (let i = 0; i < samples; i++) {
      signal.throwIfAborted();
      last = await worker.ask("renew", {});
      measured.samples.push(last.ms);
      peak = Math.max(peak, last.peakBytes);
    }
    const note =
      `${NAME[kind]} with ${count} registered certificates: ${mib(last.bytes)}, ${mib(peak)} at most while it was reloaded; ` +
      `${mib(empty.bytes)} without any. The agent's part of it: ${mib(Math.max(0, last.agentBytes - stateBytes))} beside the desired state.`;
    return { what: `${NAME[kind]} reloaded with ${count} certificates`, ...measured, note };
  };
