import { TAG } from "../../lib/der.ts";
import { decodePem } from "../../lib/pem.ts";
import { algorithmBytes } from "./algorithms.ts";
import type { Issuer } from "./certificate.ts";
import { childrenOf, contentOf, DerError, decode, encode, isTagged, type Node, oidOf } from "./der.ts";
import { authorityKeyIdentifier, keyIdOf } from "./extensions.ts";
import type { Signer } from "./signer.ts";

/** Largest certificate of a CA, bytes. */
const MAX_BYTES = 16_384;
const COMMON_NAME = "2.5.4.3";
const SUBJECT_KEY_IDENTIFIER = "2.5.29.14";

/**
 * The CA that a certificate is of, whoever made it: what it signs repeats name and key identifier byte for byte as they stand there,
 * or nobody finds the way from the one to the other (RFC 5280 §4.1.2.4 and §4.2.1.1).
 * @param certificate PEM
 * @throws DerError when it cannot be read, or has no common name
 */
export function issuerOf(certificate: string, signer: Signer): Issuer {
  const { name, nameBytes, keyIdentifier } = read(certificate);
  const keyId = keyIdentifier ?? keyIdOf(signer.spki);
  return { name, signer, nameBytes, keyIdentifier: authorityKeyIdentifier(keyId), algorithm: algorithmBytes(signer.algorithm), keyId };
}

/** Distinguished name of what a certificate is of, DER. @param certificate PEM @throws DerError */
export const subjectOf = (certificate: string): Buffer => read(certificate).nameBytes;

/** Common name of what a certificate is of. @param certificate PEM @throws DerError */
export const commonNameIn = (certificate: string): string => read(certificate).name;

/** Common name of who signed a certificate. @param certificate PEM @throws DerError */
export const issuerNameIn = (certificate: string): string => read(certificate).issuer;

interface Names {
  readonly name: string;
  readonly issuer: string;
  readonly nameBytes: Buffer;
  readonly keyIdentifier: Buffer | null;
}

function read(certificate: string): Names {
  const der = decodePem("CERTIFICATE", certificate);
  if (der === null) throw new DerError("no certificate in PEM");
  const [body] = childrenOf(decode(der, MAX_BYTES), TAG.sequence);
  // Serial and algorithm stand before the issuer, validity before the subject.
  const [version, , , issuer, , subject, , ...rest] = childrenOf(body, TAG.sequence);
  if (version === undefined || subject === undefined || issuer === undefined || !isTagged(version, 0))
    throw new DerError("not an X.509 certificate of version 3");
  const extensions = rest.find((node) => isTagged(node, 3));
  return {
    name: commonNameOf(subject),
    issuer: commonNameOf(issuer),
    nameBytes: encode(subject),
    keyIdentifier: keyIdentifierOf(extensions),
  };
}

function commonNameOf(subject: Node): string {
  for (const relative of childrenOf(subject, TAG.sequence)) {
    for (const attribute of childrenOf(relative, TAG.set)) {
      const [type, value] = childrenOf(attribute, TAG.sequence);
      if (oidOf(type) === COMMON_NAME && typeof value?.value === "string") return Buffer.from(value.value, "latin1").toString("utf8");
    }
  }
  throw new DerError("the subject has no common name");
}

function keyIdentifierOf(extensions: Node | undefined): Buffer | null {
  if (extensions === undefined || typeof extensions.value === "string") return null;
  for (const extension of childrenOf(extensions.value[0], TAG.sequence)) {
    const parts = childrenOf(extension, TAG.sequence);
    if (oidOf(parts[0]) !== SUBJECT_KEY_IDENTIFIER) continue;
    return contentOf(decode(contentOf(parts.at(-1), TAG.octetString), MAX_BYTES), TAG.octetString);
  }
  return null;
}
