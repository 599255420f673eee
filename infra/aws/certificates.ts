import { X509Certificate } from "node:crypto";
import { z } from "zod";
import { oid } from "../../lib/der.ts";
import { decodePem } from "../../lib/pem.ts";

const KEY_USAGE = oid("2.5.29.15");
/** keyCertSign and cRLSign (RFC 5280 §4.2.1.3: bits 5 and 6). */
const CA_USES = 0b0000_0110;
const DAY_MS = 24 * 60 * 60_000;
const MIN_LIFE_DAYS = 30;

/** A CA's certificate in PEM: one, that says what it is, in the form that Node writes. */
export const caSchema = z.string().transform((text, context) => {
  const told = readCa(text);
  if (typeof told !== "string") return told.toString();
  context.addIssue({ code: "custom", message: told });
  return z.NEVER;
});

function readCa(text: string): X509Certificate | string {
  const der = decodePem("CERTIFICATE", text);
  if (der === null) return "one certificate in PEM is asked for, and nothing beside it";
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch {
    return "it is PEM, but no certificate can be read from it";
  }
  if (!certificate.ca) return "it is no CA's certificate: its basic constraints do not say that it is one";
  if (!maySign(certificate.raw)) return "its key may not sign certificates and lists: key usage does not have keyCertSign and cRLSign";
  return isKeyOfOurs(certificate) ? certificate : "its key is none that the registry signs with: P-256, P-384 or Ed25519";
}

/** The bits behind the extension's name: Node tells extended uses alone. Without the extension every use is allowed, which is refused. */
function maySign(der: Buffer): boolean {
  let at = der.lastIndexOf(KEY_USAGE);
  if (at < 0) return false;
  at += KEY_USAGE.length;
  // Critical or not.
  if (der[at] === 1) at += 3;
  const [octets, , bits, , , uses = 0] = der.subarray(at);
  return octets === 4 && bits === 3 && (uses & CA_USES) === CA_USES;
}

const isKeyOfOurs = ({ publicKey }: X509Certificate): boolean =>
  publicKey.asymmetricKeyType === "ed25519" || ["prime256v1", "secp384r1"].includes(publicKey.asymmetricKeyDetails?.namedCurve ?? "");

export interface GivenCas {
  readonly root: string | null;
  readonly infrastructure: string | null;
  readonly device: string | null;
}

/** What is wrong with CAs that are given, by name: their time, and who signed whom. */
export function caProblems({ root, ...below }: GivenCas, nowMs: number): (readonly [name: keyof GivenCas, message: string])[] {
  const found: (readonly [keyof GivenCas, string])[] = [];
  const top = root === null ? null : new X509Certificate(root);
  if (top !== null && !isIssuedBy(top, top)) found.push(["root", "it is no root: it is not signed by its own key"]);
  for (const [name, pem] of Object.entries({ root, ...below }) as [keyof GivenCas, string | null][]) {
    if (pem === null) continue;
    const certificate = new X509Certificate(pem);
    const ends = Date.parse(certificate.validTo);
    if (Date.parse(certificate.validFrom) > nowMs) found.push([name, `it is valid from ${certificate.validFrom} on, not yet`]);
    else if (ends <= nowMs) found.push([name, `it ended on ${certificate.validTo}`]);
    else if (ends < nowMs + MIN_LIFE_DAYS * DAY_MS) found.push([name, `it ends on ${certificate.validTo}, within ${MIN_LIFE_DAYS} days`]);
    if (name !== "root" && top !== null && !isIssuedBy(certificate, top)) found.push([name, "it is not signed by the root that is given"]);
  }
  if (below.infrastructure !== null && below.infrastructure === below.device)
    found.push(["device", "it is the infrastructure CA's certificate: each has its own"]);
  return found;
}

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
