import { z } from "zod";
import type { TrustTarget } from "../lib/feed/messages.ts";
import { checkedRule } from "./rule.ts";

/**
 * What trust entries say, read strictly: their text ends in files that the terminator reads, so no member may hold anything but its
 * own form. A body with a member that this version does not know is taken, the member is not.
 */

/** "device-1a2b3c4d": what a CA is called. */
export const caIdSchema = z.string().regex(/^[a-z]{1,32}-[0-9a-f]{8}$/);
const deviceSchema = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const timeSchema = z.int().min(0);

export const certificateSchema = z.object({
  device: deviceSchema,
  pattern: z.enum(["ip", "cert", "either", "both"]),
  /** A person's words: whoever writes them into a file must encode them. */
  subject: z.string().max(256),
  serial: z.string().regex(/^[0-9a-f]{1,40}$/),
  issuer: caIdSchema,
  notAfter: timeSchema,
});
export const crlSchema = z.object({
  number: z.int().min(0),
  thisUpdate: timeSchema,
  nextUpdate: timeSchema,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(1),
  /** Base64, null when it is to be fetched. */
  der: z.base64().nullable(),
});
export const bindingSchema = z.object({ expiresAt: timeSchema });

export type CertificateBody = z.infer<typeof certificateSchema>;
export type CrlBody = z.infer<typeof crlSchema>;
export type BindingBody = z.infer<typeof bindingSchema>;

/** @throws SyntaxError, ZodError when the body is none */
export const readCertificate = (body: string): CertificateBody => certificateSchema.parse(JSON.parse(body));
export const readCrl = (body: string): CrlBody => crlSchema.parse(JSON.parse(body));
export const readBinding = (body: string): BindingBody => bindingSchema.parse(JSON.parse(body));

/** Which device holds which prefix. @throws Error when the id says neither */
export function readBindingId(id: string): { readonly device: string; readonly prefix: string } {
  const at = id.indexOf(" ");
  const device = deviceSchema.parse(id.slice(0, at));
  return { device, prefix: checkedRule("ipcert", id.slice(at + 1), 0).prefix };
}

/** @throws Error when the id is not of its target's form */
export function checkTrustId(target: TrustTarget, id: string): void {
  if (target === "binding") readBindingId(id);
  else if (target === "certificate")
    z.string()
      .regex(/^[0-9a-f]{64}$/)
      .parse(id);
  else caIdSchema.parse(id);
}
