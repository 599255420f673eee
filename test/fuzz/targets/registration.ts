import fc from "fast-check";
import { canonicalSubmission } from "../../../lib/registration/submission.ts";
import { parseIdempotencyKey, parseRegistration, parseRenewal } from "../../../registry/http/body.ts";
import { fuzz, hostileText, mutated, valueOrRefusal } from "../target.ts";

export const name = "registration";

const SOUND = JSON.stringify({
  selector: "ABCDEFGH",
  proof: { nonce: "AAAAAAAAAAAAAAAAAAAAAA", time: 1_795_000_000_000, signature: "A".repeat(86) },
  addresses: ["observed", "203.0.113.7", "2001:db8::/64"],
  deviceKey: "21M05QeN5lwCq5fnWikyYZ-7Cc-1-wekrYPbqA-8Cms",
});
const SOUND_RENEWAL = SOUND.replace(/"selector":"\w+"/, '"device":"01a20ada-8228-7003-bcb7-c58f43e10ba0"').replace(/,"deviceKey".*/, "}");
const SOUND_PLAIN = JSON.stringify({ code: "ABCDE-FGH01-23456-789AB-CDEFG-HJKMN-PQRS8", addresses: ["observed"] });
const MEMBERS = [
  "selector",
  "code",
  "proof",
  "addresses",
  "csr",
  "deviceKey",
  "device",
  "nonce",
  "time",
  "signature",
  "observations",
  "__proto__",
  "constructor",
];
const key = fc.oneof(fc.constantFrom(...MEMBERS), fc.string({ maxLength: 8 }));
const shaped = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, true, 0, -1, 1e308, "", "observed", "ABCDEFGH"),
    fc.string({ maxLength: 90 }),
    fc.array(tie("value"), { maxLength: 70 }),
    fc.dictionary(key, tie("value"), { maxKeys: 8 }),
  ),
})).value;

/** A body that is read makes a submission of one canonical text with every field on a line of its own. */
export function run(seed: number, count: number): void {
  const bodies = fc.oneof(
    { weight: 4, arbitrary: mutated(fc.constantFrom(SOUND, SOUND_RENEWAL, SOUND_PLAIN), '{}[]":,\\0aA.u') },
    { weight: 2, arbitrary: shaped.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: hostileText('{"selector":[]}', 300) },
  );
  const headers = fc.oneof(fc.constant(undefined), hostileText("0123456789abcdefghijkl_-", 140), fc.array(fc.string(), { maxLength: 3 }));
  fuzz(fc.tuple(bodies, headers), seed, count, ([text, header]) => {
    const idempotencyKey = valueOrRefusal(() => parseIdempotencyKey(header));
    if (idempotencyKey !== null && !/^[\w-]{22,128}$/.test(idempotencyKey)) throw new Error("an odd key was taken");
    const value = parsed(text);
    if (value === undefined) return;
    const renewal = valueOrRefusal(() => parseRenewal(value));
    if (renewal !== null && !/^[0-9a-f-]{36}$/.test(renewal.device)) throw new Error("an odd device was taken");
    const body = valueOrRefusal(() => parseRegistration(value));
    if (body === null || "code" in body) return;
    const { selector, proof, addresses, deviceKey } = body;
    const lines = valueOrRefusal(() =>
      canonicalSubmission({
        action: "register",
        registry: "r",
        signer: `code:${selector}`,
        addresses,
        csrDigest: null,
        deviceKey,
        ...proof,
      }),
    );
    if (lines !== null && lines.toString("latin1").split("\n").length !== 10) throw new Error("a field broke out of its line");
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
