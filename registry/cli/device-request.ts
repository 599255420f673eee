import { type KeyObject, randomBytes } from "node:crypto";
import type { SecurityCode } from "../../lib/registration/code.ts";
import { type Submission, signSubmission } from "../../lib/registration/submission.ts";
import type { Pending } from "./device-state.ts";

/** What a device asks for, whoever signs it. */
export interface Wanted {
  readonly url: string;
  readonly registry: string;
  readonly addresses: readonly string[];
  /** Tickets of GET /v1/address. */
  readonly observations: readonly string[];
}

/** The whole request, signed, as it will be sent: a repetition is the same bytes under the same key. */
export function registerRequest(wanted: Wanted, code: SecurityCode, deviceKey: string, now: number): Pending {
  const submission = unsigned(wanted, { action: "register", signer: `code:${code.selector}`, deviceKey, time: now });
  return pending(wanted, "/v1/registrations", submission, { selector: code.selector, deviceKey }, code.privateKey);
}

export function renewRequest(wanted: Wanted, device: string, key: KeyObject, now: number): Pending {
  const submission = unsigned(wanted, { action: "renew", signer: `device:${device}`, deviceKey: null, time: now });
  return pending(wanted, "/v1/renewals", submission, { device }, key);
}

const unsigned = ({ registry, addresses }: Wanted, who: Pick<Submission, "action" | "signer" | "deviceKey" | "time">): Submission => ({
  ...who,
  registry,
  addresses,
  csrDigest: null,
  nonce: randomBytes(16).toString("base64url"),
});

function pending(wanted: Wanted, path: string, submission: Submission, who: object, key: KeyObject): Pending {
  const { nonce, time, addresses } = submission;
  const proof = { nonce, time, signature: signSubmission(submission, key) };
  const body = JSON.stringify({ ...who, proof, addresses, observations: wanted.observations });
  return { url: wanted.url, path, idempotencyKey: randomBytes(16).toString("base64url"), body, time };
}

/** A request whose answer got lost may be sent again for as long as its proof counts (10 minutes), with time for the way. */
const PENDING_MS = 9 * 60_000;

/** The request of an earlier run that got no answer, when it asks for the same: sent again, it spends nothing twice. */
export function usable(earlier: Pending | null, fresh: Pending, now: number): Pending {
  if (earlier === null || earlier.url !== fresh.url || earlier.path !== fresh.path) return fresh;
  if (now - earlier.time > PENDING_MS || earlier.time > now) return fresh;
  const substance = (body: string): string => {
    const { selector, device, addresses, deviceKey } = JSON.parse(body) as Record<string, unknown>;
    return JSON.stringify({ selector, device, addresses, deviceKey });
  };
  return substance(earlier.body) === substance(fresh.body) ? earlier : fresh;
}
