import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { delay } from "../../lib/abort.ts";
import type { FanClientsAnswers, FanClientsAsks } from "./fan-clients.ts";
import { makeFanPki } from "./fan-pki.ts";
import type { FanServerAnswers, FanServerAsks } from "./fan-server.ts";
import { Sides, startSides } from "./sides.ts";
import type { Measured, Wish } from "./stats.ts";

const WARMUP = 3;
/** Between two changes: acknowledgements are read and written down. */
const pauseMs = (agents: number): number => Math.min(1_000, 20 + agents / 3);

class Side extends Sides<FanServerAsks, FanServerAnswers, FanClientsAsks, FanClientsAnswers> {
  static async start(kind: "feed" | "bare"): Promise<Side> {
    return new Side(await startSides("fan", kind));
  }

  /** Brings all clients up. @returns how long it took, and how long the server's processor worked, milliseconds */
  async connect(folder: string): Promise<{ ms: number; cpuMs: number }> {
    const { url } = await this.server.ask("start", { folder });
    const before = await this.server.ask("cpu", {});
    const { ms } = await this.clients.ask("connect", { folder, url });
    return { ms, cpuMs: (await this.server.ask("cpu", {})).ms - before.ms };
  }

  /** Milliseconds from the moment that telling began until the last client had the change. */
  async tell(n: number): Promise<number> {
    const received = this.clients.ask("received", { n });
    const { at } = await this.server.ask("publish", { n });
    return (await received).at - at;
  }
}

/** One change to `elements` agents over mutual TLS, beside ws alone with as many, in turns. Both have their clients in another process. */
export async function measureFanOut({ elements, samples, progress, signal }: Wish): Promise<Measured> {
  const agents = elements.toLocaleString("en-US");
  progress(`fan-out to ${agents} feeds: connecting`);
  const folder = mkdtempSync(join(tmpdir(), "eos-bench-"));
  try {
    await makeFanPki(folder, elements);
    await using feed = await Side.start("feed");
    await using bare = await Side.start("bare");
    const [ours, theirs] = [await feed.connect(folder), await bare.connect(folder)];
    const each = (ms: number) => `${(ms / elements).toFixed(2)} ms`;
    const note = `connecting ${agents} agents took ${(ours.ms / 1_000).toFixed(1)} s, ${each(ours.cpuMs)} of the registry's processor for each (ws alone ${each(theirs.cpuMs)})`;
    progress(`  ${note}`);
    const measured: Measured = { what: `fan-out of one change to ${agents} feeds`, samples: [], floor: [], note };
    for (let n = 1; n <= samples + WARMUP; n++) {
      signal.throwIfAborted();
      const [ms, floorMs] = [await feed.tell(n), await bare.tell(n)];
      await delay(pauseMs(elements), signal);
      if (n <= WARMUP) continue;
      measured.samples.push(ms);
      measured.floor.push(floorMs);
    }
    return measured;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
