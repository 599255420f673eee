import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Belief } from "../../../agent/belief.ts";
import { DesiredState } from "../../../agent/desired.ts";
import { StateFile } from "../../../agent/state.ts";
import { silentLog } from "../../../lib/log.ts";
import { fuzz } from "../target.ts";

export const name = "state";

/** Each input makes a file durable: in memory that costs nothing. */
const MEMORY = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
const CEILING = { widest4: 0, widest6: 0, rules: 1_000 };

/** Flips bits, fills a stretch, cuts the end off. Places are shares of the file. */
const damage = fc.record({
  of: fc.constantFrom("main", "wal", "both"),
  flips: fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 255 })), { maxLength: 4 }),
  stretch: fc.option(
    fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 0, max: 255 })),
  ),
  keep: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) }),
  missing: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom("", "-wal") }),
});
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

/** Whatever happened to the file: it opens, and what it says is what was saved, whole, or nothing. */
export function run(seed: number, count: number): void {
  const folder = mkdtempSync(join(MEMORY, "eos-fuzz-state-"));
  try {
    const sound = join(folder, "sound.db");
    const revisions = saved(sound);
    fuzz(damage, seed, count, (input) => {
      const file = join(folder, "state.db");
      for (const suffix of ["", "-wal", "-shm", ".refused"]) rmSync(file + suffix, { force: true });
      for (const suffix of ["", "-wal"]) if (input.missing !== suffix) put(sound + suffix, file + suffix, input);
      using state = StateFile.open(file, "host1", silentLog);
      const { revision, digest } = state.load(CEILING, new Belief("", () => 1_000), silentLog);
      if (revisions.get(revision) !== digest) throw new Error(`believed revision ${revision} with ${digest}`);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A file with a write-ahead log beside it, as a killed agent leaves them. @returns digests of the revisions that were saved */
function saved(sound: string): ReadonlyMap<number, string> {
  const file = `${sound}.live`;
  const revisions = new Map([[0, "0".repeat(32)]]);
  const desired = new DesiredState(CEILING, new Belief("", () => 1_000));
  desired.epoch = "e1";
  using state = StateFile.open(file, "host1", silentLog);
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 40; i++) desired.change({ kind: "rule.set", lane: "ip", prefix: `10.0.${round}.${i}/32`, expiresAt: 9_000 + i });
    desired.change({ kind: "rule.remove", lane: "ip", prefix: `10.0.${round}.7/32` });
    desired.change({ kind: "trust.set", target: "binding", id: "x", body: `${round}` });
    desired.revision += 42;
    const position = { epoch: "e1", revision: desired.revision, digest: desired.digest, seenMs: 500 + round };
    if (round % 4 === 0) state.replace(position, desired);
    else state.save(position, desired.pending());
    desired.acknowledgeAll();
    revisions.set(desired.revision, desired.digest);
  }
  for (const suffix of ["", "-wal"]) if (existsSync(file + suffix)) copyFileSync(file + suffix, sound + suffix);
  return revisions;
}

function put(from: string, to: string, { of, flips, stretch, keep }: Damage): void {
  const bytes = readFileSync(from);
  const hit = of === "both" || (of === "wal") === from.endsWith("-wal");
  if (!hit) {
    writeFileSync(to, bytes);
    return;
  }
  const at = (share: number): number => Math.min(bytes.length - 1, Math.floor(share * bytes.length));
  for (const [share, mask] of flips) bytes[at(share)] = (bytes[at(share)] ?? 0) ^ mask;
  if (stretch !== null) bytes.fill(stretch[2], at(stretch[0]), Math.min(bytes.length, at(stretch[0]) + stretch[1]));
  writeFileSync(to, bytes.subarray(0, Math.ceil(keep * bytes.length)));
}
