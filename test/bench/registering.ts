import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RegisterClientsAnswers, RegisterClientsAsks } from "./register-clients.ts";
import type { RegisterServerAnswers, RegisterServerAsks } from "./register-server.ts";
import { Sides, startSides } from "./sides.ts";
import { type Measured, percentile, type Wish } from "./stats.ts";

const CONNECTIONS = 64;
const WARMUP = 3;

class Side extends Sides<RegisterServerAsks, RegisterServerAnswers, RegisterClientsAsks, RegisterClientsAnswers> {
  static async start(kind: "registry" | "bare", folder: string): Promise<Side> {
    const side = new Side(await startSides("register", kind));
    const started = await side.server.ask("start", { folder: join(folder, kind), port: await freePort(), controlPort: await freePort() });
    await side.clients.ask("open", { ...started, connections: CONNECTIONS });
    return side;
  }

  /** Milliseconds until the last of `count` registrations, sent at one time, is answered with 201. */
  async burst(count: number): Promise<number> {
    return (await this.clients.ask("burst", { count })).ms;
  }

  /** Microseconds of processor that the server used so far. */
  usage(): Promise<RegisterServerAnswers["usage"]> {
    return this.server.ask("usage", {});
  }
}

/** Bursts of `elements` registrations, IP only, beside fastify alone with one durable insert each, in turns. */
export async function measureRegistering({ elements, samples, progress, signal }: Wish): Promise<Measured> {
  progress(`${elements} registrations at one time`);
  const folder = mkdtempSync(join(tmpdir(), "eos-bench-"));
  try {
    await using ours = await Side.start("registry", folder);
    await using theirs = await Side.start("bare", folder);
    const measured = { what: `${elements} registrations`, samples: [] as number[], floor: [] as number[] };
    const usages = async () => Promise.all([ours, theirs].map((side) => side.usage()));
    let before = await usages();
    for (let n = 0; n < samples + WARMUP; n++) {
      signal.throwIfAborted();
      if (n === WARMUP) before = await usages();
      const [ms, floorMs] = [await ours.burst(elements), await theirs.burst(elements)];
      if (n < WARMUP) continue;
      measured.samples.push(ms);
      measured.floor.push(floorMs);
    }
    const rate = (ms: readonly number[]) => Math.round((elements / percentile(ms, 0.5)) * 1_000);
    const each = (us: number) => Math.round(us / (samples * elements));
    const spent = (await usages()).map(
      ({ cpuUs, mainUs }, side) =>
        `${each(cpuUs - (before[side]?.cpuUs ?? 0))} µs (${each(mainUs - (before[side]?.mainUs ?? 0))} of the main thread)`,
    );
    const note =
      `registrations, IP only, durable and concluded: ${rate(measured.samples)} a second, ${rate(measured.floor)} with fastify alone; ` +
      `each took ${spent[0]} of the server's processor, ${spent[1]} with fastify alone`;
    progress(`  ${note}`);
    return { ...measured, note };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
