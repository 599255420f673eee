import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { bitString, integer, sequence, TAG, tagged } from "../../lib/der.ts";
import { encodePem } from "../../lib/pem.ts";
import { Problem } from "../../lib/problem.ts";
import { csrFromPem, csrTooLarge, MAX_CSR_BYTES } from "../../lib/registration/csr.ts";
import { algorithmBytes, KEY_KINDS, type KeyKind, keyKindOf, SIGNATURES, type SignatureAlgorithm } from "./algorithms.ts";
import { childrenOf, contentOf, DerError, decode, encode, isTagged, type Node, oidOf } from "./der.ts";
import { commonName } from "./name.ts";
import { createRequestSigner, generateKey, type Signer } from "./signer.ts";

/**
 * What is believed of a request: its key, proven to be held. Its subject, names and attributes are never read, so nothing of
 * them can reach a certificate.
 */
export interface CertificateRequest {
  readonly kind: KeyKind;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
}

/** A request whose key was proven to be held, with the request itself, for a CA that wants to see the proof. */
export interface ProvenRequest extends CertificateRequest {
  readonly der: Buffer;
}

/**
 * Reads a PKCS #10 request (RFC 2986) in PEM and verifies possession of its key.
 * @throws Problem csr_size | csr_format | csr_key_type | csr_algorithm | csr_signature
 */
export function parseCsrPem(text: string, kinds: readonly KeyKind[] = KEY_KINDS): ProvenRequest {
  return parseCsr(csrFromPem(text), kinds);
}

/** As {@link parseCsrPem}, from DER. */
export function parseCsr(der: Uint8Array, kinds: readonly KeyKind[] = KEY_KINDS): ProvenRequest {
  if (der.length > MAX_CSR_BYTES) throw csrTooLarge();
  const { info, spki, algorithm, signature } = readStructure(der);
  const key = readKey(spki);
  const kind = keyKindOf(spki, key);
  if (kind === null || !kinds.includes(kind)) {
    throw new Problem(422, "csr_key_type", `The key of a certificate request must be ${kinds.map(describe).join(", ")}.`);
  }
  if (algorithm === undefined || !algorithm.keys.includes(kind)) {
    throw new Problem(422, "csr_algorithm", "The certificate request is signed with an algorithm that is not accepted for its key.");
  }
  if (!verify(algorithm.hash, info, key, signature)) {
    throw new Problem(422, "csr_signature", "The signature of the certificate request does not fit its content.");
  }
  return { kind, spki, der: Buffer.from(der) };
}

/** Key and name of a CA's own request, both in DER, which was proven to be its. @throws Problem as {@link parseCsr} */
export function csrName(der: Uint8Array): { readonly spki: Buffer; readonly subject: Buffer } {
  const { spki } = parseCsr(der, ["P-256", "P-384"]);
  const [info] = childrenOf(decode(der, MAX_CSR_BYTES), TAG.sequence);
  const [, subject] = childrenOf(info, TAG.sequence);
  return { spki, subject: subject === undefined ? sequence() : encode(subject) };
}

/** A request for the signer's own key, with one common name or none: DER. */
export async function makeCsr(signer: Signer, name: string | null): Promise<Buffer> {
  const info = sequence(integer(Buffer.of(0)), commonName(name), signer.spki, tagged(0));
  return sequence(info, algorithmBytes(signer.algorithm), bitString(await signer.sign(info)));
}

/** A request for a key that is there, without a name: PEM. @throws KeyError unless it is a private key of a kind in KEY_KINDS */
export const makeCsrFor = async (key: KeyObject): Promise<string> =>
  encodePem("CERTIFICATE REQUEST", await makeCsr(createRequestSigner(key), null));

/** A new key and the request for it, both in PEM: what someone makes who wants a certificate. */
export async function makeKeyAndCsr(name: string | null, kind: KeyKind = "P-256"): Promise<{ readonly key: string; readonly csr: string }> {
  const { signer, pem } = generateKey(kind);
  return { key: pem, csr: encodePem("CERTIFICATE REQUEST", await makeCsr(signer, name)) };
}

interface Structure {
  readonly info: Buffer;
  readonly spki: Buffer;
  readonly algorithm: SignatureAlgorithm | undefined;
  readonly signature: Buffer;
}

function readStructure(der: Uint8Array): Structure {
  try {
    const [info, algorithm, signature, ...more] = childrenOf(decode(der, MAX_CSR_BYTES), TAG.sequence);
    const [version, subject, spki, attributes, ...moreInfo] = childrenOf(info, TAG.sequence);
    childrenOf(subject, TAG.sequence);
    childrenOf(spki, TAG.sequence);
    if (info === undefined || spki === undefined || more.length > 0 || moreInfo.length > 0) throw new DerError("wrong number of fields");
    if (!contentOf(version, TAG.integer).equals(Buffer.of(0))) throw new DerError("not version 1");
    if (attributes !== undefined && !isTagged(attributes, 0)) throw new DerError("attributes are not [0]");
    const bits = contentOf(signature, TAG.bitString);
    if (bits[0] !== 0) throw new DerError("signature is not of whole bytes");
    return { info: encode(info), spki: encode(spki), algorithm: readAlgorithm(algorithm), signature: bits.subarray(1) };
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new Problem(422, "csr_format", "The certificate request is not a PKCS #10 request in DER.", { cause });
  }
}

/** Undefined when it is not one of ours, or its parameters are not what that algorithm has. */
function readAlgorithm(node: Node | undefined): SignatureAlgorithm | undefined {
  const [id, parameters] = childrenOf(node, TAG.sequence);
  const dotted = oidOf(id);
  const found = SIGNATURES.find((candidate) => candidate.oid === dotted);
  if (found === undefined) return undefined;
  const encoded = parameters === undefined ? "" : encode(parameters).toString("hex");
  return encoded === (found.nullParameters ? "0500" : "") ? found : undefined;
}

function readKey(spki: Buffer): KeyObject {
  try {
    // Handed over in an object, node:crypto takes it for a key four times before it is read as bytes, and throws within itself each time:
    // 34 to 55 µs where text takes 17 to 20.
    return createPublicKey(encodePem("PUBLIC KEY", spki));
  } catch (cause) {
    throw new Problem(422, "csr_key_type", "The key of the certificate request cannot be read.", { cause });
  }
}

const describe = (kind: KeyKind): string => (kind === "RSA" ? "RSA with 2048 to 4096 bits and exponent 65537" : kind);
