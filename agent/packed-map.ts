import { randomInt } from "node:crypto";

/** Up to this share of the index is in use, so that a search ends after a few steps. */
const MAX_FILL = 0.5;
/** Room beyond what is held when the map is built anew. */
const GROWTH = 1.5;
const SMALLEST = 16;
/** Room beyond what was said to come, so that the first that comes after it costs nothing. */
const SPARE = 1.125;
/** Bytes of a key, "ip 203.0.113.255/32" and a few more. */
const USUAL_KEY = 24;
const LONGEST_KEY = 255;

/** Where entries lie, in the order that they came: key bytes, and for each where they end, their hash, the value; NaN for one that is gone. */
interface Lay {
  readonly bytes: Buffer;
  readonly ends: Uint32Array;
  readonly hashes: Int32Array;
  readonly values: Float64Array;
  /** Open addressing: number of an entry plus one, 0 where there is none. */
  readonly index: Int32Array;
  /** Entries laid down, those that are gone too. */
  count: number;
}

/**
 * Numbers by short keys of one byte a character, in insertion order, like a Map. A million prefixes take about 40 MB here and 140 MB in
 * a Map; above all they are a handful of objects, where a Map's million strings are walked at each collection of garbage (a pause
 * of 100 ms and more).
 */
export class PackedMap {
  /** Keys come from outside: which of them collide is not to be known there. */
  readonly #seed = randomInt(2 ** 31);
  #size = 0;
  #lay: Lay;

  /** @param entries how many are to come: room is made for them at once */
  constructor(entries = 0) {
    const room = Math.max(SMALLEST, Math.ceil(entries * SPARE));
    this.#lay = layOut(room, room * USUAL_KEY);
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): number | undefined {
    if (this.#size === 0) return undefined;
    const at = this.#find(key, this.#hash(key));
    return at < 0 ? undefined : this.#lay.values[at];
  }

  /** @throws RangeError when the key is longer than 255 characters or has one of two bytes, or the value is not a number */
  set(key: string, value: number): void {
    if (Number.isNaN(value)) throw new RangeError(`no number for '${key}'`);
    const hash = this.#hash(key);
    const at = this.#find(key, hash);
    if (at >= 0) this.#lay.values[at] = value;
    else this.#append(checkedKey(key), hash, value);
  }

  delete(key: string): void {
    const at = this.#find(key, this.#hash(key));
    if (at < 0) return;
    this.#lay.values[at] = Number.NaN;
    this.#size--;
  }

  /** Entries that come or go meanwhile are seen or not, each at most once. */
  *entries(): Generator<[string, number]> {
    // What is built anew meanwhile leaves this lay as it was.
    const lay = this.#lay;
    for (let at = 0; at < lay.count; at++) {
      const value = lay.values[at] as number;
      if (!Number.isNaN(value)) yield [keyOf(lay, at), value];
    }
  }

  /** As {@link entries}. */
  *keys(): Generator<string> {
    for (const [key] of this.entries()) yield key;
  }

  /** Number of the live entry under a key, -1 when there is none. */
  #find(key: string, hash: number): number {
    const { index, hashes, values } = this.#lay;
    const mask = index.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = (index[slot] as number) - 1;
      if (at < 0) return -1;
      if (hashes[at] === hash && isKey(this.#lay, at, key) && !Number.isNaN(values[at] as number)) return at;
    }
  }

  #append(key: string, hash: number, value: number): void {
    const length = key.length;
    const used = endOf(this.#lay, this.#lay.count);
    if (this.#lay.count === this.#lay.ends.length || used + length > this.#lay.bytes.length) this.#lay = builtAnew(this.#lay, length);
    const lay = this.#lay;
    const at = lay.count++;
    let end = endOf(lay, at);
    for (let i = 0; i < length; i++) lay.bytes[end++] = key.charCodeAt(i);
    finish(lay, at, end, hash, value);
    this.#size++;
  }

  /** FNV-1a, stirred at the end: nearby keys differ in few bits. */
  #hash(key: string): number {
    let hash = this.#seed;
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
    const once = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    return once ^ (once >>> 13);
  }
}

function layOut(entries: number, bytes: number): Lay {
  return {
    bytes: Buffer.alloc(bytes),
    ends: new Uint32Array(entries),
    hashes: new Int32Array(entries),
    values: new Float64Array(entries),
    index: new Int32Array(2 ** Math.ceil(Math.log2(entries / MAX_FILL))),
    count: 0,
  };
}

/** The live entries in a lay of their own, with room for more and for a key of this length. */
function builtAnew(old: Lay, length: number): Lay {
  let [live, bytes] = [0, 0];
  for (let at = 0; at < old.count; at++) {
    if (Number.isNaN(old.values[at] as number)) continue;
    live++;
    bytes += endOf(old, at + 1) - endOf(old, at);
  }
  const next = layOut(Math.max(SMALLEST, Math.ceil(live * GROWTH)), Math.ceil((bytes + length) * GROWTH));
  for (let at = 0, end = 0; at < old.count; at++) {
    const value = old.values[at] as number;
    if (Number.isNaN(value)) continue;
    for (let i = endOf(old, at); i < endOf(old, at + 1); i++) next.bytes[end++] = old.bytes[i] as number;
    finish(next, next.count++, end, old.hashes[at] as number, value);
  }
  return next;
}

/** Fills in all but the key's bytes. */
function finish({ ends, hashes, values, index }: Lay, at: number, end: number, hash: number, value: number): void {
  ends[at] = end;
  hashes[at] = hash;
  values[at] = value;
  const mask = index.length - 1;
  let slot = hash & mask;
  while (index[slot] !== 0) slot = (slot + 1) & mask;
  index[slot] = at + 1;
}

/** Where the bytes of the entries before this one end. */
const endOf = ({ ends }: Lay, at: number): number => (at === 0 ? 0 : (ends[at - 1] as number));

const keyOf = (lay: Lay, at: number): string => lay.bytes.toString("latin1", endOf(lay, at), endOf(lay, at + 1));

function isKey(lay: Lay, at: number, key: string): boolean {
  const start = endOf(lay, at);
  if (endOf(lay, at + 1) - start !== key.length) return false;
  // From the end: prefixes begin alike.
  for (let i = key.length - 1; i >= 0; i--) if (lay.bytes[start + i] !== key.charCodeAt(i)) return false;
  return true;
}

function checkedKey(key: string): string {
  if (key.length > LONGEST_KEY) throw new RangeError(`a key of ${key.length} characters is too long`);
  for (let i = 0; i < key.length; i++) if (key.charCodeAt(i) > 0xff) throw new RangeError(`'${key}' is not of one byte a character`);
  return key;
}
