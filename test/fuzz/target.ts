import fc from "fast-check";
import { Problem } from "../../lib/problem.ts";

/**
 * What a file in targets/ exports: one parser under hostile input. `name` is the file's. `run` tries `count` inputs that follow from
 * `seed` alone and throws, with the input and its seed in the message, at the first that is answered by anything but a value or a
 * coded refusal.
 */
export interface FuzzTarget {
  readonly name: string;
  run(seed: number, count: number): void | Promise<void>;
}

/** What all inputs so far came to: coded refusals by code, and the input that took longest. For who reports a run. */
export const seen = { refusals: new Map<string, number>(), slowest: { ms: 0, input: "" } };
const SHOWN_CHARACTERS = 60;

/** Runs `check` on `count` inputs. @throws with the smallest input that fails */
export function fuzz<T>(inputs: fc.Arbitrary<T>, seed: number, count: number, check: (input: T) => void): void {
  const timed = (input: T): void => {
    const startedAt = performance.now();
    check(input);
    const ms = performance.now() - startedAt;
    if (ms > seen.slowest.ms) seen.slowest = { ms, input: fc.stringify(input).slice(0, SHOWN_CHARACTERS) };
  };
  fc.assert(fc.property(inputs, timed), { seed, numRuns: count, verbose: 0 });
}

/** The value, or null when the input was refused with a code and a sentence. @throws whatever else is thrown: a fault of ours */
export function valueOrRefusal<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Problem) || error.status < 400 || error.status > 499) throw error;
    if (!/^[a-z][a-z_]*$/.test(error.code) || !/[.?]$/.test(error.message)) throw new Error(`odd refusal: ${error.code}`, { cause: error });
    seen.refusals.set(error.code, (seen.refusals.get(error.code) ?? 0) + 1);
    return null;
  }
}

/** Text of any kind and length up to `maxLength`: of the alphabet that the parser knows, of Unicode, of single bytes. */
export function hostileText(alphabet: string, maxLength: number): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.string({ unit: fc.constantFrom(...alphabet), maxLength }) },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength }) },
    { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength }) },
    { weight: 1, arbitrary: fc.nat({ max: 3 }).map((power) => alphabet.charAt(0).repeat(10 ** (power + 1))) },
  );
}

/** A sound text with a few of its characters replaced, doubled, left out or swapped. */
export function mutated(sound: fc.Arbitrary<string>, alphabet: string): fc.Arbitrary<string> {
  const edit = fc.record({
    at: fc.nat({ max: 1_000 }),
    cut: fc.nat({ max: 2 }),
    put: fc.oneof(fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 2 }), fc.string({ unit: "binary", maxLength: 1 })),
  });
  return fc.tuple(sound, fc.array(edit, { maxLength: 4 })).map(([text, edits]) =>
    edits.reduce((now, { at, cut, put }) => {
      const place = now.length === 0 ? 0 : at % (now.length + 1);
      return now.slice(0, place) + put + now.slice(place + cut);
    }, text),
  );
}
