import { randomBytes, X509Certificate } from "node:crypto";
import { delay } from "../../../lib/abort.ts";
import type { RevocationReason } from "../../../lib/admin/api.ts";
import { Backoff } from "../../../lib/backoff.ts";
import { decodePem, encodePem } from "../../../lib/pem.ts";
import { Problem } from "../../../lib/problem.ts";
import { readSignedCrl } from "../crl-read.ts";
import { csrName } from "../csr.ts";
import { DerError } from "../der.ts";
import { KeyError } from "../key-error.ts";
import type { CaService, ReadyCrl, ServiceRequest } from "../service.ts";
import { signerUnavailable } from "../signer-unavailable.ts";
import { AwsApi, type AwsParts } from "./api.ts";
import { endpointOf } from "./arn.ts";
import { AwsError } from "./error.ts";
import { unavailable } from "./unavailable.ts";

/** A private CA, and where it writes its list. */
export interface PcaName {
  readonly arn: string;
  /** URL of the list in the CA's bucket: https://BUCKET.s3.REGION.amazonaws.com/crl/ID.crl */
  readonly list: string;
}

/** Nothing but basic constraints is the template's own: name and uses are those that are passed. */
const TEMPLATE = "template/BlankEndEntityCertificate_APIPassthrough/V1";
/** A certificate is made in a second or two; after so many looks it counts as not made. */
const MAX_LOOKS = 20;
const LOOK_MIN_MS = 100;
const LOOK_MAX_MS = 1_000;
/** Largest list that is read: some 200,000 entries. */
const MAX_LIST_BYTES = 8 << 20;

const REASONS: Readonly<Record<RevocationReason, string>> = {
  unspecified: "UNSPECIFIED",
  keyCompromise: "KEY_COMPROMISE",
  affiliationChanged: "AFFILIATION_CHANGED",
  superseded: "SUPERSEDED",
  cessationOfOperation: "CESSATION_OF_OPERATION",
  privilegeWithdrawn: "PRIVILEGE_WITHDRAWN",
};

/** A subordinate CA of AWS Private CA as the device CA (API version 2017-08-22). */
export class Pca implements CaService {
  readonly #name: PcaName;
  readonly #parts: AwsParts;
  readonly #api: AwsApi;
  readonly #bucket: AwsApi;
  #failingSince: number | null = null;
  #spki: Buffer | null = null;

  /** @param endpoint another one than the region's own */
  constructor(parts: AwsParts, name: PcaName, endpoint: string | null) {
    const { region, endpoint: at } = endpointOf("acm-pca", name.arn, endpoint);
    this.#name = name;
    this.#parts = parts;
    this.#api = new AwsApi({ name: "acm-pca", region, endpoint: at }, parts);
    this.#bucket = new AwsApi({ name: "s3", region, endpoint: new URL("/", name.list) }, parts);
  }

  get failingSince(): number | null {
    return this.#failingSince;
  }

  /** Its key, which then nobody has to be asked for. @param spki DER */
  know(spki: Buffer): void {
    this.#spki = spki;
  }

  async certificateUnder(root: string): Promise<string | null> {
    const { CertificateAuthority: described } = await this.#call("DescribeCertificateAuthority", {});
    const { Status, Type, KeyAlgorithm, UsageMode, Crl } = facts(described);
    const wrong = [
      [Type === "SUBORDINATE", `is of type ${Type}, and has to be SUBORDINATE`],
      [/^EC_(prime256v1|secp384r1)$/.test(KeyAlgorithm), `has a key ${KeyAlgorithm}, and has to have EC_prime256v1 or EC_secp384r1`],
      [UsageMode === "GENERAL_PURPOSE", `is for ${UsageMode}, and has to be for GENERAL_PURPOSE, which has lists`],
      [Crl.Enabled === true && Crl.CrlType !== "PARTITIONED", "has to write one complete list of revoked certificates (CrlConfiguration)"],
      [Status === "ACTIVE" || Status === "PENDING_CERTIFICATE", `is ${Status}`],
    ].flatMap(([right, text]) => (right === true ? [] : [String(text)]));
    if (wrong.length > 0) throw new KeyError(`Cannot use ${this.#name.arn} as the device CA: it ${wrong.join("; it ")}.`);
    if (Status === "PENDING_CERTIFICATE") return null;
    const { Certificate } = await this.#call("GetCertificateAuthorityCertificate", {});
    if (!new X509Certificate(String(Certificate)).verify(new X509Certificate(root).publicKey))
      throw new KeyError(`Cannot use ${this.#name.arn} as the device CA: it has a certificate of another root already.`);
    return new X509Certificate(String(Certificate)).toString();
  }

  async subject(): Promise<Buffer> {
    return (await this.request()).subject;
  }

  /** Its key and name as its own request says. */
  async request(): Promise<{ readonly spki: Buffer; readonly subject: Buffer }> {
    const { Csr } = await this.#call("GetCertificateAuthorityCsr", {});
    const der = decodePem("CERTIFICATE REQUEST", String(Csr));
    if (der === null) throw new KeyError(`Cannot use ${this.#name.arn} as the device CA: its request cannot be read.`);
    return csrName(der);
  }

  async install(certificate: string, root: string): Promise<void> {
    await this.#call("ImportCertificateAuthorityCertificate", { Certificate: base64(certificate), CertificateChain: base64(root) });
  }

  async issue({ csr, subject, notBefore, notAfter }: ServiceRequest): Promise<string> {
    const [, partition = "aws"] = this.#name.arn.split(":");
    const input = {
      Csr: base64(encodePem("CERTIFICATE REQUEST", csr)),
      SigningAlgorithm: "SHA256WITHECDSA",
      TemplateArn: `arn:${partition}:acm-pca:::${TEMPLATE}`,
      Validity: { Type: "ABSOLUTE", Value: notAfter },
      ValidityNotBefore: { Type: "ABSOLUTE", Value: notBefore },
      // A repetition of this very request, after an answer that was lost, makes no second certificate.
      IdempotencyToken: randomBytes(16).toString("hex"),
      ApiPassthrough: {
        Subject: { CommonName: subject },
        Extensions: {
          KeyUsage: { DigitalSignature: true },
          ExtendedKeyUsage: [{ ExtendedKeyUsageType: "CLIENT_AUTH" }],
          SubjectAlternativeNames: [{ UniformResourceIdentifier: subject }],
        },
      },
    };
    const { CertificateArn } = await this.#call("IssueCertificate", input);
    return await this.#made(String(CertificateArn));
  }

  async revoke(serial: string, reason: RevocationReason): Promise<void> {
    const CertificateSerial = serial.padStart(serial.length + (serial.length % 2), "0").replace(/..(?!$)/g, "$&:");
    await this.#call("RevokeCertificate", { CertificateSerial, RevocationReason: REASONS[reason] }, [
      "RequestAlreadyProcessedException",
      "ResourceNotFoundException",
    ]);
  }

  async list(): Promise<ReadyCrl | null> {
    const der = await this.#watched(this.#bucket.get(new URL(this.#name.list).pathname, MAX_LIST_BYTES));
    if (der === null) return null;
    try {
      return { der, ...readSignedCrl(der, this.#spki ?? (await this.request()).spki) };
    } catch (cause) {
      if (!(cause instanceof DerError)) throw cause;
      this.#failingSince ??= this.#parts.clock.now();
      throw signerUnavailable(new Error(`${this.#name.list} is no list of this CA: ${cause.message}`, { cause }));
    }
  }

  async #made(CertificateArn: string): Promise<string> {
    const backoff = new Backoff({ minMs: LOOK_MIN_MS, maxMs: LOOK_MAX_MS });
    for (let look = 1; look <= MAX_LOOKS; look++) {
      const { Certificate } = await this.#call("GetCertificate", { CertificateArn }, ["RequestInProgressException"]);
      if (typeof Certificate === "string") return Certificate;
      await delay(backoff.next(), this.#parts.signal);
    }
    throw signerUnavailable(new Error(`${CertificateArn} was not made in time`));
  }

  /** @param settled errors that mean as much as an empty answer */
  async #call(operation: string, input: object, settled: readonly string[] = []): Promise<Readonly<Record<string, unknown>>> {
    const asked = this.#api.call(`ACMPrivateCA.${operation}`, { CertificateAuthorityArn: this.#name.arn, ...input });
    return await this.#watched(
      asked.catch((error: unknown) => {
        if (!(error instanceof AwsError)) throw error;
        if (settled.includes(error.code)) return {};
        if (error.code !== "MalformedCSRException") throw error;
        throw new Problem(422, "csr_format", "The CA does not take this certificate request.", { cause: error });
      }),
    );
  }

  async #watched<T>(answer: Promise<T>): Promise<T> {
    try {
      const value = await unavailable(this.#name.arn, answer);
      this.#failingSince = null;
      return value;
    } catch (error) {
      if (!(error instanceof Problem && error.code === "csr_format")) this.#failingSince ??= this.#parts.clock.now();
      throw error;
    }
  }
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};

/** What of a description is looked at. */
function facts(described: unknown) {
  const { Status, Type, UsageMode, CertificateAuthorityConfiguration, RevocationConfiguration } = record(described);
  const { KeyAlgorithm } = record(CertificateAuthorityConfiguration);
  const Crl = record(record(RevocationConfiguration).CrlConfiguration);
  return {
    Status: String(Status),
    Type: String(Type),
    UsageMode: String(UsageMode ?? "GENERAL_PURPOSE"),
    KeyAlgorithm: String(KeyAlgorithm),
    Crl,
  };
}
