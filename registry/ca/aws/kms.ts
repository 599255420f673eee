import { createPublicKey, hash, type KeyObject, verify } from "node:crypto";
import { type KeyKind, keyKindOf, OWN_SIGNATURE } from "../algorithms.ts";
import { KeyError } from "../key-error.ts";
import type { Signer } from "../signer.ts";
import { signerUnavailable } from "../signer-unavailable.ts";
import { AwsApi, type AwsParts } from "./api.ts";
import { endpointOf } from "./arn.ts";
import { unavailable } from "./unavailable.ts";

/** What KMS calls the keys that a CA of ours may have, and how they sign. */
const SPECS = {
  "P-256": { spec: "ECC_NIST_P256", algorithm: "ECDSA_SHA_256" },
  "P-384": { spec: "ECC_NIST_P384", algorithm: "ECDSA_SHA_384" },
} as const;

/** AWS KMS in as many regions as keys are in. */
export class Kms {
  readonly #parts: AwsParts;
  readonly #endpoint: string | null;
  readonly #regions = new Map<string, AwsApi>();

  /** @param endpoint another one than each region's own: an interface endpoint of the VPC */
  constructor(parts: AwsParts, endpoint: string | null) {
    this.#parts = parts;
    this.#endpoint = endpoint;
  }

  /** SubjectPublicKeyInfo, DER. @throws KeyError for a key that cannot be a CA's, Problem signer_unavailable */
  async publicKey(arn: string): Promise<Buffer> {
    const answer = await unavailable(arn, this.#api(arn).call("TrentService.GetPublicKey", { KeyId: arn }));
    const { KeySpec: spec, KeyUsage: usage, PublicKey: encoded } = answer;
    const known = Object.values(SPECS).find((one) => one.spec === spec);
    if (known === undefined || usage !== "SIGN_VERIFY" || typeof encoded !== "string")
      throw new KeyError(
        `Cannot sign with ${arn}: it is a key of kind '${String(spec)}' for '${String(usage)}', and has to be ${Object.values(SPECS)
          .map((one) => one.spec)
          .join(" or ")} for SIGN_VERIFY.`,
      );
    const spki = Buffer.from(encoded, "base64");
    kindOf(arn, spki);
    return spki;
  }

  /** Asks nobody: what the key is was asked when it became a CA's. @throws KeyError unless the public key is on P-256 or P-384 */
  signer(arn: string, spki: Buffer): Signer {
    const { kind, key } = kindOf(arn, spki);
    const algorithm = OWN_SIGNATURE[kind];
    let failingSince: number | null = null;
    return {
      spki,
      algorithm,
      get failingSince() {
        return failingSince;
      },
      service: null,
      sign: async (data) => {
        try {
          // Copied before anything is waited for: the caller may write over what it gave.
          const signature = await this.#sign(arn, { kind, key }, Buffer.from(data));
          failingSince = null;
          return signature;
        } catch (error) {
          failingSince ??= this.#parts.clock.now();
          throw error;
        }
      },
    };
  }

  async #sign(arn: string, { kind, key }: Known, data: Buffer): Promise<Buffer> {
    const digest = hash(OWN_SIGNATURE[kind].hash ?? "sha256", data, "buffer");
    const input = { KeyId: arn, Message: digest.toString("base64"), MessageType: "DIGEST", SigningAlgorithm: SPECS[kind].algorithm };
    const { Signature: encoded } = await unavailable(arn, this.#api(arn).call("TrentService.Sign", input));
    const signature = Buffer.from(typeof encoded === "string" ? encoded : "", "base64");
    // Nothing leaves that the CA's own public key does not verify: the file may name another key than the certificate has.
    if (verify(OWN_SIGNATURE[kind].hash, data, key, signature)) return signature;
    throw signerUnavailable(new KeyError(`${arn} signs with another key than the CA's`));
  }

  #api(arn: string): AwsApi {
    const { region, endpoint } = endpointOf("kms", arn, this.#endpoint);
    let api = this.#regions.get(region);
    if (api === undefined) {
      api = new AwsApi({ name: "kms", region, endpoint }, this.#parts);
      this.#regions.set(region, api);
    }
    return api;
  }
}

interface Known {
  readonly kind: keyof typeof SPECS;
  readonly key: KeyObject;
}

function kindOf(arn: string, spki: Buffer): Known {
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  const kind: KeyKind | null = keyKindOf(spki, key);
  if (kind !== "P-256" && kind !== "P-384") throw new KeyError(`Cannot sign with ${arn}: its public key is neither on P-256 nor on P-384.`);
  return { kind, key };
}
