import { z } from "zod";
import { CERTIFICATE_SIGNATURE } from "./certificate-proof.ts";

/** Shapes and bounds of what a submission carries, for whoever reads one. No value can hold a line break or a comma. */

/** Most addresses in one submission; profiles allow fewer. */
export const MAX_ADDRESSES = 64;

export const selectorSchema = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{8}$/, "a selector is the first 8 letters and digits of a code");
/** "observed", "observed4", "observed6", or an address or prefix in any form; which form is right is told later, with a code of its own. */
export const addressTextSchema = z
  .string()
  .regex(/^[0-9A-Za-z.:%/]{1,64}$/, 'an address is "observed", or an address with or without a prefix length');
export const addressesSchema = z.array(addressTextSchema).max(MAX_ADDRESSES);
export const proofSchema = z.strictObject({
  nonce: z.string().regex(/^[A-Za-z0-9_-]{21}[AQgw]$/, "a nonce is 16 random bytes in base64url"),
  /** Integer milliseconds since 1970. */
  time: z.int().min(0),
  signature: z.string().regex(/^[A-Za-z0-9_-]{85}[AQgw]$/, "a signature is 64 bytes in base64url"),
});
/** A proof by the key of a certificate, which may be of any kind (certificate-proof.ts). */
export const certificateProofSchema = proofSchema.extend({
  signature: z.string().regex(CERTIFICATE_SIGNATURE, "a signature by a certificate's key is base64url of at most 512 bytes"),
});
/** SHA-256 of a certificate's DER, lower-case hex. */
export const fingerprintSchema = z.string().regex(/^[0-9a-f]{64}$/, "a certificate is named by its SHA-256 in lower-case hex");
/** Tickets of GET /v1/address: one for each family at most is of use. */
export const observationsSchema = z.array(z.string().max(128)).max(2);
export const deviceKeySchema = z.string().regex(/^[A-Za-z0-9_-]{43}$/, "a device key is 32 bytes in base64url");
export const deviceIdSchema = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "a device is named by its UUID");
export type Proof = z.infer<typeof proofSchema>;
