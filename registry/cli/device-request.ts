import { type KeyObject, randomBytes } from "node:crypto";
import { signByCertificate } from "../../lib/registration/certificate-proof.ts";
import type { SecurityCode } from "../../lib/registration/code.ts";
import { csrDigest, csrFromPem } from "../../lib/registration/csr.ts";
import { type Submission, signSubmission } from "../../lib/registration/submission.ts";
import type { Pending } from "./device-state.ts";

/** What a device asks for, whoever signs it. */
export interface Wanted {
  readonly url: string;
  readonly registry: string;
  readonly addresses: readonly string[];
  /** Tickets of GET /v1/address. */
  readonly observations: readonly string[];
  /** PEM of the request for a certificate; null for none. */
  readonly csr: string | null;
}

/** The whole request, signed, as it will be sent: a repetition is the same bytes under the same key. */
export function registerRequest(wanted: Wanted, code: SecurityCode, deviceKey: string, now: number): Pending {
  const submission = unsigned(wanted, { action: "register", signer: `code:${code.selector}`, deviceKey, time: now });
  return pending(
    wanted,
    "/v1/registrations",
    submission,
    { selector: code.selector, deviceKey },
    signSubmission(submission, code.privateKey),
  );
}

/** What signs a renewal: the device's own key, or that of the certificate that is named. */
export interface RenewalSigner {
  readonly device: string;
  readonly key: KeyObject;
  /** SHA-256 of the certificate, lower-case hex; null for the device's own key. */
  readonly certificate: string | null;
}

export function renewRequest(wanted: Wanted, { device, key, certificate }: RenewalSigner, now: number): Pending {
  const submission = unsigned(wanted, { action: "renew", signer: `device:${device}`, deviceKey: null, time: now });
  if (certificate === null) return pending(wanted, "/v1/renewals", submission, { device }, signSubmission(submission, key));
  return pending(wanted, "/v1/renewals", submission, { device, certificate }, signByCertificate(submission, key));
}

const unsigned = ({ registry, addresses, csr }: Wanted, who: Pick<Submission, "action" | "signer" | "deviceKey" | "time">): Submission => ({
  ...who,
  registry,
  addresses,
  csrDigest: csr === null ? null : csrDigest(csrFromPem(csr)),
  nonce: randomBytes(16).toString("base64url"),
});

function pending(wanted: Wanted, path: string, submission: Submission, who: object, signature: string): Pending {
  const { nonce, time, addresses } = submission;
  const proof = { nonce, time, signature };
  const certified = wanted.csr === null ? {} : { csr: wanted.csr };
  const body = JSON.stringify({ ...who, proof, addresses, ...certified, observations: wanted.observations });
  return { url: wanted.url, path, idempotencyKey: randomBytes(16).toString("base64url"), body, time };
}

/** A request whose answer got lost may be sent again for as long as its proof counts (10 minutes), with time for the way. */
const PENDING_MS = 9 * 60_000;

export const isFresh = ({ time }: Pending, now: number): boolean => now - time <= PENDING_MS && time <= now;

/**
 * The request of an earlier run that got no answer, when it asks for the same: sent again, it spends nothing twice. Of requests for a
 * certificate only whether there is one is compared: signatures differ, and the key is the one that waits on disk.
 */
export function usable(earlier: Pending | null, fresh: Pending, now: number): Pending {
  if (earlier === null || earlier.url !== fresh.url || earlier.path !== fresh.path) return fresh;
  if (!isFresh(earlier, now)) return fresh;
  const substance = (body: string): string => {
    const { selector, device, certificate, addresses, deviceKey, csr } = JSON.parse(body) as Record<string, unknown>;
    return JSON.stringify({ selector, device, certificate, addresses, deviceKey, certified: csr !== undefined });
  };
  return substance(earlier.body) === substance(fresh.body) ? earlier : fresh;
}
