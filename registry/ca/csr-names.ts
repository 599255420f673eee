import { sequence, TAG } from "../../lib/der.ts";
import { Problem } from "../../lib/problem.ts";
import { MAX_CSR_BYTES } from "../../lib/registration/csr.ts";
import { childrenOf, contentOf, DerError, decode, isTagged, type Node, oidOf } from "./der.ts";
import { generalName } from "./extensions.ts";

const COMMON_NAME = "2.5.4.3";
const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
const SUBJECT_ALT_NAME = "2.5.29.17";
/** Strings that a common name may be written in (RFC 5280 §4.1.2.4); all of them are read as UTF-8, which a URN's ASCII is. */
const STRINGS: readonly number[] = [TAG.utf8String, 19, 22];

/**
 * Whether a request for a device's next certificate names that device and nothing else: subject and SubjectAltName as the certificate
 * before has them (RFC 7030 §4.2.2). Nothing of them reaches the next one; a request that names another was sent by mistake.
 * @param urn what the registry names the device in its certificates
 * @throws Problem csr_format | csr_subject
 */
export function assertNames(der: Uint8Array, urn: string): void {
  let same: boolean;
  try {
    const [info] = childrenOf(decode(der, MAX_CSR_BYTES), TAG.sequence);
    const [, subject, , attributes] = childrenOf(info, TAG.sequence);
    same = isCommonName(subject, urn) && alternativeNames(attributes).equals(sequence(generalName({ kind: "uri", value: urn })));
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new Problem(422, "csr_format", "The certificate request is not a PKCS #10 request in DER.", { cause });
  }
  if (same) return;
  throw new Problem(
    422,
    "csr_subject",
    `Subject and SubjectAltName of the certificate request must be those of the certificate: CN=${urn} and URI:${urn}.`,
  );
}

/** A name of one common name alone. */
function isCommonName(name: Node | undefined, text: string): boolean {
  const relative = childrenOf(name, TAG.sequence);
  const attributes = relative.flatMap((set) => childrenOf(set, TAG.set));
  if (relative.length !== 1 || attributes.length !== 1) return false;
  const [type, value] = childrenOf(attributes[0], TAG.sequence);
  if (oidOf(type) !== COMMON_NAME || value === undefined || !STRINGS.includes(value.type)) return false;
  return contentOf(value, value.type).toString("utf8") === text;
}

/** DER of the SubjectAltName that a request asks for (RFC 2985 §5.4.2); empty when it asks for none, or for several. */
function alternativeNames(attributes: Node | undefined): Buffer {
  if (attributes === undefined || !isTagged(attributes, 0) || typeof attributes.value === "string") return Buffer.alloc(0);
  const requested = attributes.value
    .map((attribute) => childrenOf(attribute, TAG.sequence))
    .filter(([type]) => oidOf(type) === EXTENSION_REQUEST)
    .flatMap(([, values]) => childrenOf(values, TAG.set))
    .flatMap((extensions) => childrenOf(extensions, TAG.sequence))
    .map((extension) => childrenOf(extension, TAG.sequence))
    .filter(([type]) => oidOf(type) === SUBJECT_ALT_NAME);
  const [only, ...more] = requested;
  return only === undefined || more.length > 0 ? Buffer.alloc(0) : contentOf(only.at(-1), TAG.octetString);
}
