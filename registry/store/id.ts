import { randomFillSync, randomInt } from "node:crypto";

const COUNTER_END = 0x1000;
let latest = { timeMs: 0, counter: 0 };

/** Asking the system for random bytes costs the same for many as for few. */
const drawn = Buffer.alloc(4_096);
let used = drawn.length;

/**
 * A UUID of version 7 (RFC 9562 §5.7): 48 bits of time, 12 that count (§6.2 method 1), 62 random. Each is above the ones that this
 * process made before, also within a millisecond and when the clock goes back: the order of keys is the order of making, and keys
 * made one after the other lie beside each other on disk.
 * @param now integer milliseconds
 */
export function newId(now: number): string {
  latest = next(now);
  const bytes = randomBytes();
  bytes.writeUIntBE(latest.timeMs, 0, 6);
  bytes.writeUInt16BE(0x7000 | latest.counter, 6);
  bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8);
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Sixteen that nobody had before. */
function randomBytes(): Buffer {
  if (used === drawn.length) {
    randomFillSync(drawn);
    used = 0;
  }
  used += 16;
  return drawn.subarray(used - 16, used);
}

function next(now: number): typeof latest {
  const { timeMs, counter } = latest;
  if (now > timeMs) return { timeMs: now, counter: randomInt(COUNTER_END / 2) };
  return counter + 1 < COUNTER_END ? { timeMs, counter: counter + 1 } : { timeMs: timeMs + 1, counter: 0 };
}
