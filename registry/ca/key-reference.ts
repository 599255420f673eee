import { createPublicKey } from "node:crypto";
import { KeyError } from "./key-error.ts";

/**
 * What a CA's key file holds where the private half is kept elsewhere: its name there, and its public half, so that opening it asks
 * nobody. It is no secret.
 */
export interface KeyReference {
  readonly arn: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
}

const FORM =
  /^(arn:[a-z-]{3,20}:(?:kms|acm-pca):[^\s]{1,200})\n(-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]{1,2000}-----END PUBLIC KEY-----\n)$/;

export const isKeyReference = (text: string): boolean => text.startsWith("arn:");

export const writeKeyReference = ({ arn, spki }: KeyReference): string =>
  `${arn}\n${createPublicKey({ key: spki, format: "der", type: "spki" }).export({ type: "spki", format: "pem" })}`;

/** @throws KeyError when it is not what {@link writeKeyReference} writes */
export function readKeyReference(text: string): KeyReference {
  const [, arn, pem] = FORM.exec(text) ?? [];
  if (arn === undefined || pem === undefined) throw new KeyError("it is neither a private key nor the name of one with its public half");
  try {
    return { arn, spki: createPublicKey(pem).export({ type: "spki", format: "der" }) };
  } catch (cause) {
    throw new KeyError("the public half in it cannot be read", { cause });
  }
}
