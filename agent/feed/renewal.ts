import { createPrivateKey, X509Certificate } from "node:crypto";
import { writeFileAtomic } from "../../lib/file.ts";
import { requestFor } from "../../lib/pkcs10.ts";
import { askControl, certificateIn } from "./control.ts";
import { type Identity, readIdentity } from "./identity.ts";

/** A third of its life is left. */
export function isDue({ validFrom, validTo }: X509Certificate, now: number): boolean {
  const [from, until] = [Date.parse(validFrom), Date.parse(validTo)];
  return until - now <= (until - from) / 3;
}

/**
 * Has the same key certified anew, by its own certificate, and keeps what comes in the state folder: one file, replaced whole.
 * @param leaving its CA signs no more: it is due whatever is left of its life
 * @returns when the new one ends, integer milliseconds; null when none was due
 * @throws Error when no address of control gives a sound one
 */
export async function renewWhenDue(identity: Identity, now: number, signal: AbortSignal, leaving = false): Promise<number | null> {
  const { cert, key } = readIdentity(identity);
  const held = new X509Certificate(cert);
  const file = identity.renewed;
  if (file === undefined || !(leaving || isDue(held, now))) return null;
  const privateKey = createPrivateKey(key);
  const question = { method: "POST", path: "/v1/agent/renewal", body: { csr: requestFor(privateKey) } } as const;
  const accept = (status: number, answer: unknown) => {
    const pem = certificateIn(status, answer);
    assertNext(new X509Certificate(pem), held, privateKey);
    return pem;
  };
  const pem = await askControl(identity, question, accept, signal);
  writeFileAtomic(file, pem, 0o644);
  return Date.parse(new X509Certificate(pem).validTo);
}

/** @throws Error unless it is for the same key and the same names, and ends no sooner */
export function assertNext(next: X509Certificate, held: X509Certificate, key: ReturnType<typeof createPrivateKey>): void {
  if (!next.checkPrivateKey(key) || next.subjectAltName !== held.subjectAltName || Date.parse(next.validTo) < Date.parse(held.validTo))
    throw new Error("the certificate that came is not the next one of what is held");
}

/** Whether the CA of the agent's certificate signs no more. @throws Error when no address of control says so or not */
export const isLeaving = (identity: Identity, signal: AbortSignal): Promise<boolean> =>
  askControl(
    identity,
    { method: "GET", path: "/v1/agent/renewal" },
    (status, answer) => {
      if (status !== 200 || typeof answer !== "object" || answer === null || !("leaving" in answer)) throw new Error("no answer to that");
      return answer.leaving === true;
    },
    signal,
  );
