import fc from "fast-check";
import { parseCode } from "../../../lib/registration/code.ts";
import { fuzz, hostileText, mutated, valueOrRefusal } from "../target.ts";

export const name = "code";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZOILUabcxyz- \n";
/** Sound codes, made elsewhere: making one costs more than reading a thousand. */
const SOUND = ["ABCDE-FGH01-23456-789AB-CDEFG-HJKMN-PQRS8", "abcdefgh0123456789abcdefghjkmnpqrs8"];

/** A code that is read has a selector and a key of its own form, and reads the same however it is spaced. */
export function run(seed: number, count: number): void {
  const inputs = fc.oneof(hostileText(ALPHABET, 220), mutated(fc.constantFrom(...SOUND), ALPHABET));
  fuzz(inputs, seed, count, (text) => {
    const code = valueOrRefusal(() => parseCode(text));
    if (code === null) return;
    const forms = /^[0-9A-HJKMNP-TV-Z]{8}$/.test(code.selector) && /^[A-Za-z0-9_-]{43}$/.test(code.publicKey);
    if (!forms) throw new Error(`selector '${code.selector}', key '${code.publicKey}'`);
    if (parseCode(` ${text.trim().toLowerCase()}-`).publicKey !== code.publicKey) throw new Error("another key for the same code");
  });
}
