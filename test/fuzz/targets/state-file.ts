import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { DesiredState } from "../../../agent/desired.ts";
import { StateFile } from "../../../agent/state.ts";
import { silentLog } from "../../../lib/log.ts";
import { fuzz } from "../target.ts";

export const name = "state-file";

const CEILING = { widest4: 24, widest6: 48, rules: 1_000 };
const AGENT = "host1";
/** In memory: what is tried is the reading, not the disk. */
const ROOT = existsSync("/dev/shm") ? "/dev/shm" : "/tmp";

/** A file as an agent leaves it. */
function soundFile(folder: string): Buffer {
  const file = join(folder, "sound.db");
  const desired = new DesiredState(CEILING);
  desired.epoch = "2026-11-24T00:00:00.000Z";
  desired.revision = 9;
  for (let i = 0; i < 8; i++) desired.change({ kind: "rule.set", lane: "ip", prefix: `203.0.113.${i}/32`, expiresAt: 1_795_000_000_000 });
  desired.change({ kind: "rule.set", lane: "ipcert", prefix: "2001:db8::/64", expiresAt: 1_795_000_000_000 });
  {
    using state = StateFile.open(file, AGENT, silentLog);
    state.replace({ epoch: desired.epoch, revision: 9, digest: desired.digest, seenMs: 1_794_000_000_000 }, desired);
  }
  return readFileSync(file);
}

/** However a file is damaged, what loads is the state that was saved, whole, or nothing; and the file is set aside or can be written to. */
export function run(seed: number, count: number): void {
  const folder = mkdtempSync(join(ROOT, "entityos-fuzz-"));
  try {
    const sound = soundFile(folder);
    const file = join(folder, "state.db");
    const edit = fc.record({ at: fc.nat({ max: sound.length - 1 }), byte: fc.nat({ max: 255 }) });
    const damaged = fc.oneof(
      { weight: 6, arbitrary: fc.array(edit, { minLength: 1, maxLength: 6 }).map((edits) => withEdits(sound, edits)) },
      { weight: 2, arbitrary: fc.nat({ max: sound.length }).map((length) => sound.subarray(0, length)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([sound.subarray(0, 100), bytes])) },
    );
    fuzz(damaged, seed, count, (bytes) => {
      for (const suffix of ["", "-wal", "-shm", ".refused"]) rmSync(file + suffix, { force: true });
      writeFileSync(file, bytes);
      using state = StateFile.open(file, AGENT, silentLog);
      const desired = state.load(CEILING, null, silentLog);
      const whole = desired.epoch === "2026-11-24T00:00:00.000Z" && desired.revision === 9 && desired.size === 9;
      if (desired.epoch !== null && !whole)
        throw new Error(`loads as revision ${desired.revision} of ${desired.epoch}: ${desired.size} rules`);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function withEdits(sound: Buffer, edits: readonly { at: number; byte: number }[]): Buffer {
  const bytes = Buffer.from(sound);
  for (const { at, byte } of edits) bytes[at] = byte;
  return bytes;
}
