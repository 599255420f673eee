import { randomUUID, X509Certificate } from "node:crypto";
import type { RevocationReason } from "../../lib/admin/api.ts";
import { encodePem } from "../../lib/pem.ts";
import { Problem } from "../../lib/problem.ts";
import { issueCertificate } from "../../registry/ca/certificate.ts";
import { crlEntries, signCrl } from "../../registry/ca/crl.ts";
import { csrName, makeCsr, parseCsrPem } from "../../registry/ca/csr.ts";
import type { AlternativeName, ExtendedUse } from "../../registry/ca/extensions.ts";
import { issuerOf, subjectOf } from "../../registry/ca/issuer-of.ts";
import { generateKey, type Signer } from "../../registry/ca/signer.ts";
import { type Answer, REGION, type Service } from "./double.ts";

type Input = Readonly<Record<string, unknown>>;
type Fields = Readonly<Record<string, unknown>>;

/** A subordinate CA as somebody made it in AWS Private CA. */
export interface PrivateCa {
  readonly arn: string;
  readonly signer: Signer;
  readonly csr: Buffer;
  status: "PENDING_CERTIFICATE" | "ACTIVE" | "DISABLED";
  type: "SUBORDINATE" | "ROOT";
  crlType: "COMPLETE" | "PARTITIONED";
  certificate: string | null;
  /** What it issued, by ARN, and how often it is still "in progress" when asked. */
  readonly issued: Map<string, { pem: string; looks: number }>;
  readonly revoked: Map<string, RevocationReason>;
  /** Certificates by the token that they were asked for with. */
  readonly tokens: Map<string, string>;
  /** Changes what it makes of what it is asked for: a template of somebody's. */
  bend: (names: readonly AlternativeName[]) => readonly AlternativeName[];
}

const TEMPLATE = "arn:aws:acm-pca:::template/BlankEndEntityCertificate_APIPassthrough/V1";
const REASONS: Readonly<Record<string, RevocationReason>> = {
  UNSPECIFIED: "unspecified",
  KEY_COMPROMISE: "keyCompromise",
  SUPERSEDED: "superseded",
  PRIVILEGE_WITHDRAWN: "privilegeWithdrawn",
};
const LOOKS = 2;

/** AWS Private CA with what of it a device CA needs (API reference, 2017-08-22). Certificates are made in their own time. */
export class FakePca implements Service {
  readonly name = "acm-pca";
  readonly target = "ACMPrivateCA";
  readonly cas = new Map<string, PrivateCa>();

  async create(commonName: string, change: Partial<PrivateCa> = {}): Promise<PrivateCa> {
    const { signer } = generateKey("P-256");
    const ca: PrivateCa = {
      arn: `arn:aws:acm-pca:${REGION}:111122223333:certificate-authority/${randomUUID()}`,
      signer,
      csr: await makeCsr(signer, commonName),
      status: "PENDING_CERTIFICATE",
      type: "SUBORDINATE",
      crlType: "COMPLETE",
      certificate: null,
      issued: new Map(),
      revoked: new Map(),
      tokens: new Map(),
      bend: (names) => names,
      ...change,
    };
    this.cas.set(ca.arn, ca);
    return ca;
  }

  /** What it writes into its bucket, some half an hour after a revocation. Numbers are milliseconds, as AWS's are. */
  async list(ca: PrivateCa, now = Date.now()): Promise<Buffer> {
    const entries = crlEntries([...ca.revoked].map(([serial, reason]) => ({ serial, revokedAt: now, reason })));
    const facts = { number: now, thisUpdate: now - 3_600_000, nextUpdate: now + 7 * 24 * 3_600_000 };
    return await signCrl(issuerOf(ca.certificate ?? "", ca.signer), facts, [entries]);
  }

  readonly operations = {
    DescribeCertificateAuthority: this.#with((ca) => done({ CertificateAuthority: description(ca) })),
    GetCertificateAuthorityCsr: this.#with((ca) => done({ Csr: encodePem("CERTIFICATE REQUEST", ca.csr) })),
    GetCertificateAuthorityCertificate: this.#with((ca) =>
      ca.certificate === null ? refused("InvalidStateException", "no certificate yet") : done({ Certificate: ca.certificate }),
    ),
    ImportCertificateAuthorityCertificate: this.#with((ca, input) => install(ca, input)),
    IssueCertificate: this.#with((ca, input) => issue(ca, input)),
    GetCertificate: this.#with((ca, { CertificateArn }) => {
      const found = ca.issued.get(String(CertificateArn));
      if (found === undefined) return refused("ResourceNotFoundException", "no such certificate");
      if (found.looks-- > 0) return refused("RequestInProgressException", "The certificate is being made");
      return done({ Certificate: found.pem, CertificateChain: ca.certificate });
    }),
    RevokeCertificate: this.#with((ca, { CertificateSerial, RevocationReason }) => {
      if (!/^[0-9a-f]{2}(:[0-9a-f]{2})*$/.test(String(CertificateSerial))) return refused("InvalidRequestException", "serial");
      const serial = String(CertificateSerial).replaceAll(":", "");
      const made = [...ca.issued.values()].some(({ pem }) => serialOf(pem) === serial);
      if (!made) return refused("ResourceNotFoundException", "no such certificate");
      if (ca.revoked.has(serial)) return refused("RequestAlreadyProcessedException", "revoked already");
      ca.revoked.set(serial, REASONS[String(RevocationReason)] ?? "unspecified");
      return { status: 200, body: null };
    }),
  };

  #with(run: (ca: PrivateCa, input: Input) => Answer | Promise<Answer>) {
    return async (input: Input): Promise<Answer> => {
      const ca = this.cas.get(String(input.CertificateAuthorityArn));
      if (ca === undefined) return refused("ResourceNotFoundException", "no such CA");
      return await run(ca, input);
    };
  }
}

const done = (body: object): Answer => ({ status: 200, body });
const refused = (type: string, message: string): Answer => ({ status: 400, type, message });
const text = (blob: unknown): string => Buffer.from(String(blob), "base64").toString();
const serialOf = (pem: string): string => new X509Certificate(pem).serialNumber.toLowerCase();

const description = ({ arn, status, type, crlType }: PrivateCa) => ({
  Arn: arn,
  Status: status,
  Type: type,
  UsageMode: "GENERAL_PURPOSE",
  CertificateAuthorityConfiguration: { KeyAlgorithm: "EC_prime256v1", SigningAlgorithm: "SHA256WITHECDSA" },
  RevocationConfiguration: { CrlConfiguration: { Enabled: true, CrlType: crlType, ExpirationInDays: 7, S3BucketName: "lists" } },
});

/** As AWS: the certificate of this key and name, signed by the last of the chain, for a CA. */
function install(ca: PrivateCa, { Certificate, CertificateChain }: Input): Answer {
  const [own, root] = [new X509Certificate(text(Certificate)), new X509Certificate(text(CertificateChain))];
  const { subject } = csrName(ca.csr);
  if (!own.publicKey.export({ type: "spki", format: "der" }).equals(ca.signer.spki) || !subjectOf(text(Certificate)).equals(subject))
    return refused("CertificateMismatchException", "not for the request of this CA");
  if (!own.ca || !own.verify(root.publicKey) || !own.checkIssued(root))
    return refused("MalformedCertificateException", "not below the chain");
  ca.certificate = own.toString();
  ca.status = "ACTIVE";
  return { status: 200, body: null };
}

async function issue(ca: PrivateCa, input: Input): Promise<Answer> {
  if (ca.status !== "ACTIVE") return refused("InvalidStateException", `the CA is ${ca.status}`);
  const token = String(input.IdempotencyToken);
  if (token.length > 36) return refused("ValidationException", "IdempotencyToken");
  const earlier = input.IdempotencyToken === undefined ? undefined : ca.tokens.get(token);
  if (earlier !== undefined) return done({ CertificateArn: earlier });
  const { Csr, TemplateArn, Validity, ValidityNotBefore, ApiPassthrough, SigningAlgorithm } = input as Record<string, Fields>;
  if (String(TemplateArn) !== TEMPLATE || String(SigningAlgorithm) !== "SHA256WITHECDSA")
    return refused("InvalidArgsException", "template");
  const { Subject, Extensions } = (ApiPassthrough ?? {}) as Record<string, Fields>;
  const uris = (Extensions?.SubjectAlternativeNames ?? []) as readonly { UniformResourceIdentifier: string }[];
  const uses = (Extensions?.ExtendedKeyUsage ?? []) as readonly { ExtendedKeyUsageType: string }[];
  let spki: Buffer;
  try {
    spki = parseCsrPem(text(Csr), ["P-256", "P-384", "RSA"]).spki;
  } catch (error) {
    if (error instanceof Problem) return refused("MalformedCSRException", error.message);
    throw error;
  }
  const notAfter = Number(Validity?.Value) * 1_000;
  if (notAfter > Date.parse(new X509Certificate(ca.certificate ?? "").validTo)) return refused("ValidationException", "beyond the CA");
  const { der } = await issueCertificate(issuerOf(ca.certificate ?? "", ca.signer), {
    subject: String(Subject?.CommonName),
    spki,
    // What makes certificates here takes a minute off itself.
    now: Number(ValidityNotBefore?.Value) * 1_000 + 60_000,
    notAfter,
    names: ca.bend(uris.map(({ UniformResourceIdentifier: value }) => ({ kind: "uri", value }))),
    uses: uses.map(({ ExtendedKeyUsageType }): ExtendedUse => (ExtendedKeyUsageType === "CLIENT_AUTH" ? "clientAuth" : "serverAuth")),
    pathLength: undefined,
  });
  const arn = `${ca.arn}/certificate/${randomUUID()}`;
  ca.tokens.set(token, arn);
  ca.issued.set(arn, { pem: encodePem("CERTIFICATE", der), looks: LOOKS });
  return done({ CertificateArn: arn });
}
