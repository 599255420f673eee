import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../lab/ports.ts";
import type { RegisterClientsAnswers, RegisterClientsAsks } from "./register-clients.ts";
import type { RegisterKind, RegisterServerAnswers, RegisterServerAsks } from "./register-server.ts";
import { Sides, startSides } from "./sides.ts";
import { type Measured, percentile, type Wish } from "./stats.ts";

const CONNECTIONS = 64;
/** Bursts before the clock runs: until then much of the processor goes into compiling what runs for the first time. */
const WARMUP = 20;

class Side extends Sides<RegisterServerAsks, RegisterServerAnswers, RegisterClientsAsks, RegisterClientsAnswers> {
  static async start(kind: RegisterKind, folder: string): Promise<Side> {
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

/**
 * Bursts of `elements` registrations, IP only, in turns with its two floors: fastify alone with one durable insert each, and fastify
 * with one check of a signature and the rows that stay of a registration.
 */
export async function measureRegistering({ elements, samples, progress, signal }: Wish): Promise<Measured> {
  progress(`${elements} registrations at one time`);
  const folder = mkdtempSync(join(tmpdir(), "eos-bench-"));
  try {
    await using ours = await Side.start("registry", folder);
    await using bare = await Side.start("bare", folder);
    await using proven = await Side.start("proven", folder);
    const sides = [ours, bare, proven].map((side) => ({ side, bursts: [] as number[], before: { cpuUs: 0, mainUs: 0 } }));
    for (let n = 0; n < samples + WARMUP; n++) {
      signal.throwIfAborted();
      for (const each of sides) {
        if (n === WARMUP) each.before = await each.side.usage();
        const ms = await each.side.burst(elements);
        if (n >= WARMUP) each.bursts.push(ms);
      }
    }
    const told = await Promise.all(sides.map(async ({ side, ...each }) => tell(each, await side.usage(), elements)));
    const note = noteOf(told);
    progress(`  ${note}`);
    const [measured, floor] = sides.map(({ bursts }) => bursts);
    return { what: `${elements} registrations`, samples: measured ?? [], floor: floor ?? [], note };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Told {
  readonly perSecond: number;
  /** Microseconds of the server's processor that one registration took, and those of its main thread. */
  readonly cpuUs: number;
  readonly mainUs: number;
}

function tell(
  { bursts, before }: { readonly bursts: readonly number[]; readonly before: RegisterServerAnswers["usage"] },
  after: RegisterServerAnswers["usage"],
  elements: number,
): Told {
  const each = (us: number) => Math.round(us / (bursts.length * elements));
  const perSecond = Math.round((elements / percentile(bursts, 0.5)) * 1_000);
  return { perSecond, cpuUs: each(after.cpuUs - before.cpuUs), mainUs: each(after.mainUs - before.mainUs) };
}

/** @param told of the registry, of fastify alone, and of fastify with the check and the rows */
function noteOf(told: readonly Told[]): string {
  const [ours, bare, proven] = told as [Told, Told, Told];
  const share = (floor: Told) => `${Math.round((100 * ours.perSecond) / floor.perSecond)} %`;
  const cost = ({ cpuUs, mainUs }: Told) => `${cpuUs} µs (${mainUs} of the main thread)`;
  return (
    `registrations, IP only, durable and concluded: ${ours.perSecond} a second; ` +
    `${bare.perSecond} with fastify alone (${share(bare)} of it), ` +
    `${proven.perSecond} with fastify, one check of a signature and the rows that stay (${share(proven)}); ` +
    `each took ${cost(ours)} of the server's processor, ${cost(bare)} and ${cost(proven)} with the floors`
  );
}
