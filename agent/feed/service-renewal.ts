import { createPrivateKey, hash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFileAtomic } from "../../lib/file.ts";
import { requestFor } from "../../lib/pkcs10.ts";
import { type ServiceFiles, shownFile } from "../service-certificate.ts";
import { askControl, certificateIn } from "./control.ts";
import { type Identity, readIdentity } from "./identity.ts";
import { assertNext, isDue } from "./renewal.ts";

/**
 * Has the key of the service's certificate certified anew for the same names, and keeps what comes in the state folder: the key never
 * leaves the host. It is due with a third of its life left, and when it is of another CA than the agent's own certificate, which is
 * renewed at once when its CA leaves; before that one while it is of the same, leaving CA. One that the registry did not make is left to
 * whoever made it.
 * @param leaving the CA of the agent's own certificate signs no more
 * @returns when the new one ends, integer milliseconds; null when none was due
 * @throws Error when no address of control gives a sound one, the file system's error
 */
export async function renewServiceWhenDue(
  identity: Identity,
  files: ServiceFiles,
  now: number,
  signal: AbortSignal,
  leaving = false,
): Promise<number | null> {
  const [held, ca] = certificatesIn(readFileSync(shownFile(files), "utf8"));
  const { ca: roots, cert } = readIdentity(identity);
  if (held === undefined || ca === undefined || !isOurs(held, ca, roots)) return null;
  const isOfSameCa = held.issuer === new X509Certificate(cert).issuer;
  if (!isDue(held, now) && isOfSameCa !== leaving) return null;
  const privateKey = createPrivateKey(readFileSync(files.key));
  const body = { csr: requestFor(privateKey), fingerprint: hash("sha256", held.raw) };
  const accept = (status: number, answer: unknown) => {
    const pem = certificateIn(status, answer);
    assertNext(new X509Certificate(pem), held, privateKey);
    return pem;
  };
  const pem = await askControl(identity, { method: "POST", path: "/v1/agent/service-renewal", body }, accept, signal);
  writeFileAtomic(files.renewed, pem, 0o644);
  return Date.parse(new X509Certificate(pem).validTo);
}

/** Signed by a CA that one of the pinned roots signed. */
const isOurs = (held: X509Certificate, ca: X509Certificate, roots: readonly (Buffer | string)[]): boolean =>
  held.verify(ca.publicKey) && roots.some((root) => ca.verify(new X509Certificate(root).publicKey));

const certificatesIn = (text: string): readonly X509Certificate[] =>
  (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((pem) => new X509Certificate(pem));
