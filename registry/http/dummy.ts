import { generateKeyPairSync } from "node:crypto";
import { rawPublicKey } from "../../lib/registration/code.ts";

/** A public key whose private half nobody has: proofs are checked against it where there is no other, so that both take as long. */
export const DUMMY_KEY = rawPublicKey(generateKeyPairSync("ed25519").publicKey);
/** As {@link DUMMY_KEY}, in the place of a certificate: PEM. */
export const DUMMY_CERTIFICATE_KEY = String(
  generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "pem" }),
);
