import asn1, { type Asn1 } from "node-forge/lib/asn1.js";
import { TAG } from "../../lib/der.ts";

/** DER in (X.690) on node-forge's asn1: trees of nodes, bytes as Buffer at the edge. What is written is written as bytes: lib/der.ts. */
export type Node = Asn1;

const UNIVERSAL = 0x00;
const CONTEXT = 0x80;
const MAX_DEPTH = 16;

const toBinary = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
const fromBinary = (text: string): Buffer => Buffer.from(text, "latin1");

export const encode = (node: Node): Buffer => fromBinary(asn1.toDer(node).getBytes());

/** What is not DER, or is not what was expected at that place. The caller says what it means. */
export class DerError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DerError";
  }
}

/**
 * Strict: forge reads BER, so what it read must encode to the very same bytes (no indefinite or long lengths, no padded integers).
 * @throws DerError when larger than `maxBytes`, nested deeper than 16, followed by anything, or not DER
 */
export function decode(bytes: Uint8Array, maxBytes: number): Node {
  if (bytes.length > maxBytes) throw new DerError(`larger than ${maxBytes} bytes`);
  let node: Node;
  try {
    node = asn1.fromDer(toBinary(bytes), { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth: MAX_DEPTH });
  } catch (cause) {
    throw new DerError("not DER", { cause });
  }
  if (!encode(node).equals(bytes)) throw new DerError("not DER: it encodes to other bytes");
  return node;
}

/** The nodes inside a constructed node of that universal tag. @throws DerError when it is another kind of node */
export function childrenOf(node: Node | undefined, tag: number): readonly Node[] {
  if (node === undefined || node.tagClass !== UNIVERSAL || node.type !== tag || typeof node.value === "string")
    throw new DerError(`expected a constructed node with tag ${tag}`);
  return node.value;
}

/** The content of a primitive node of that universal tag. @throws DerError when it is another kind of node */
export function contentOf(node: Node | undefined, tag: number): Buffer {
  if (node === undefined || node.tagClass !== UNIVERSAL || node.type !== tag || typeof node.value !== "string")
    throw new DerError(`expected a primitive node with tag ${tag}`);
  return fromBinary(node.value);
}

/** True for [n] of the context class holding nodes. */
export const isTagged = (node: Node, n: number): boolean => node.tagClass === CONTEXT && node.type === n && node.constructed;

/** Dotted text of an OID node. @throws DerError when it is none */
export const oidOf = (node: Node | undefined): string => asn1.derToOid(toBinary(contentOf(node, TAG.oid)));
