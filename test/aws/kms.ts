import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { type Answer, REGION, type Service } from "./double.ts";
import { signDigest } from "./ecdsa.ts";

const SPECS = {
  ECC_NIST_P256: { curve: "P-256", algorithm: "ECDSA_SHA_256", hash: "sha256", bytes: 32 },
  ECC_NIST_P384: { curve: "P-384", algorithm: "ECDSA_SHA_384", hash: "sha384", bytes: 48 },
} as const;

export interface KmsKey {
  readonly arn: string;
  readonly spec: keyof typeof SPECS | "RSA_2048";
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  state: "Enabled" | "Disabled" | "PendingDeletion";
  /** False: the key's policy does not let anybody sign. */
  permitted: boolean;
}

/** AWS KMS with what of it a signer uses: keys by ARN, GetPublicKey, Sign with a digest or a message (KMS API reference, 2014-11-01). */
export class FakeKms implements Service {
  readonly name = "kms";
  readonly target = "TrentService";
  readonly keys = new Map<string, KmsKey>();

  /** As its administrator makes one. @returns its ARN */
  create(spec: KmsKey["spec"] = "ECC_NIST_P256"): KmsKey {
    const { privateKey, publicKey } =
      spec === "RSA_2048"
        ? generateKeyPairSync("rsa", { modulusLength: 2048 })
        : generateKeyPairSync("ec", { namedCurve: SPECS[spec].curve });
    const arn = `arn:aws:kms:${REGION}:111122223333:key/${randomUUID()}`;
    const key: KmsKey = { arn, spec, privateKey, publicKey, state: "Enabled", permitted: true };
    this.keys.set(arn, key);
    return key;
  }

  readonly operations = {
    GetPublicKey: (input: Readonly<Record<string, unknown>>): Answer => {
      const key = this.#usable(input.KeyId);
      if ("status" in key) return key;
      return {
        status: 200,
        body: {
          KeyId: key.arn,
          KeySpec: key.spec,
          CustomerMasterKeySpec: key.spec,
          KeyUsage: "SIGN_VERIFY",
          PublicKey: key.publicKey.export({ type: "spki", format: "der" }).toString("base64"),
          SigningAlgorithms: key.spec === "RSA_2048" ? ["RSASSA_PSS_SHA_256"] : [SPECS[key.spec].algorithm],
        },
      };
    },
    Sign: (input: Readonly<Record<string, unknown>>): Answer => {
      const key = this.#usable(input.KeyId);
      if ("status" in key) return key;
      if (!key.permitted) return refused("AccessDeniedException", "User is not authorized to perform: kms:Sign on this resource");
      if (key.spec === "RSA_2048" || input.SigningAlgorithm !== SPECS[key.spec].algorithm)
        return refused(
          "InvalidKeyUsageException",
          `Algorithm ${String(input.SigningAlgorithm)} is incompatible with key spec ${key.spec}.`,
        );
      const { curve, bytes, hash, algorithm } = SPECS[key.spec];
      const message = Buffer.from(String(input.Message ?? ""), "base64");
      if (message.length < 1 || message.length > 4_096)
        return refused("ValidationException", "Member must have length less than or equal to 4096");
      const digest = input.MessageType === "DIGEST";
      if (digest && message.length !== bytes) return refused("ValidationException", `Digest is invalid length for algorithm ${algorithm}.`);
      const signature = digest ? signDigest(key.privateKey, curve, message) : sign(hash, message, key.privateKey);
      return { status: 200, body: { KeyId: key.arn, Signature: signature.toString("base64"), SigningAlgorithm: algorithm } };
    },
  };

  #usable(id: unknown): KmsKey | Answer {
    const key = this.keys.get(String(id));
    if (key === undefined) return refused("NotFoundException", `Key '${String(id)}' does not exist`);
    if (key.state === "Disabled") return refused("DisabledException", `${key.arn} is disabled.`);
    if (key.state === "PendingDeletion") return refused("KMSInvalidStateException", `${key.arn} is pending deletion.`);
    return key;
  }
}

const refused = (type: string, message: string): Answer => ({ status: 400, type, message });
