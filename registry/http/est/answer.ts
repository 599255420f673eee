import { X509Certificate } from "node:crypto";
import type { FastifyReply } from "fastify";
import { oid, sequence, set } from "../../../lib/der.ts";
import { certsOnly } from "../../../lib/pkcs7.ts";

/** RFC 7030 §4.1.3, §4.2.3. */
const CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only";

/** What a request should look like (RFC 7030 §4.5.2): a key on P-256, signed with SHA-256. Names are not asked for: they are the registry's. */
const ATTRIBUTES = sequence(sequence(oid("1.2.840.10045.2.1"), set(oid("1.2.840.10045.3.1.7"))), oid("1.2.840.10045.4.3.2"));

/** @param pems one certificate each */
export const sendCertificates = (reply: FastifyReply, pems: readonly string[]): FastifyReply =>
  sendBase64(reply, CERTS_ONLY, certsOnly(pems.map((pem) => new X509Certificate(pem).raw)));

export const sendAttributes = (reply: FastifyReply): FastifyReply => sendBase64(reply, "application/csrattrs", ATTRIBUTES);

/**
 * Base 64 in lines that end as base64(1) takes them, which refuses CRLF; EST lets any white space be (RFC 8951 §3.1). Bytes, because
 * Fastify would add a charset to the type.
 */
function sendBase64(reply: FastifyReply, type: string, der: Buffer): FastifyReply {
  const lines = der.toString("base64").match(/.{1,76}/g) ?? [];
  return reply
    .code(200)
    .header("content-type", type)
    .header("content-transfer-encoding", "base64")
    .send(Buffer.from(`${lines.join("\n")}\n`));
}
