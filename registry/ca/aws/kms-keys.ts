import { KeyError } from "../key-error.ts";
import { writeKeyReference } from "../key-reference.ts";
import { FILE_KEYS, type KeyRole, type KeyStore } from "../signer.ts";
import type { Kms } from "./kms.ts";
import { nextArn } from "./next-arn.ts";

/** Keys that somebody made in KMS for the CAs of each role, in the order that they are used in: a rotation takes the one after the last that is in use. */
export type KmsNames = Readonly<Record<KeyRole, readonly string[]>>;

/** The CAs' keys in AWS KMS. A CA that none is named for has its key in a file, and so has one from before until a rotation takes its place. */
export const kmsKeys = (kms: Kms, names: KmsNames): KeyStore => ({
  make: async (role, folder, kind) => {
    if (names[role].length === 0) return FILE_KEYS.make(role, folder, kind);
    const arn = nextArn(folder, names[role], `ca.signer.${role}`);
    const spki = await kms.publicKey(arn);
    return { signer: kms.signer(arn, spki), pem: writeKeyReference({ arn, spki }) };
  },
  open: ({ arn, spki }) => {
    if (!Object.values(names).some((named) => named.includes(arn))) throw new KeyError(`it names ${arn}, which ca.signer does not`);
    return kms.signer(arn, spki);
  },
});
