import { KmsKey } from "@cdktf/provider-aws/lib/kms-key/index.js";
import { SecretsmanagerSecret } from "@cdktf/provider-aws/lib/secretsmanager-secret/index.js";
import { SecretsmanagerSecretVersion } from "@cdktf/provider-aws/lib/secretsmanager-secret-version/index.js";
import { CertRequest } from "@cdktf/provider-tls/lib/cert-request/index.js";
import { LocallySignedCert } from "@cdktf/provider-tls/lib/locally-signed-cert/index.js";
import { PrivateKey } from "@cdktf/provider-tls/lib/private-key/index.js";
import { TlsProvider } from "@cdktf/provider-tls/lib/provider/index.js";
import { SelfSignedCert } from "@cdktf/provider-tls/lib/self-signed-cert/index.js";
import type { Construct } from "constructs";
import type { AwsSettings } from "./form.ts";
import { type PrivateCa, writePrivateCa } from "./private-ca.ts";
import { AwsStack, policy } from "./stack.ts";

const HOURS_A_YEAR = 8_760;
/** As the registry's own: root 20 years, what is below it 10. */
const LIFE_HOURS = { root: 20 * HOURS_A_YEAR, intermediate: 10 * HOURS_A_YEAR } as const;
const CA_USES = ["cert_signing", "crl_signing"];
const ISSUING = ["infrastructure", "device"] as const;
type Issuing = (typeof ISSUING)[number];

/** What the registry's role may do with a key that signs. */
export const SIGNING = ["kms:GetPublicKey", "kms:Sign"];

/**
 * Root, infrastructure CA and device CA. With `kms`, each has a key that never leaves KMS. With `tls`, Terraform makes keys and
 * certificates, and the keys are in this stack's state and in Secrets Manager, nowhere else; the device CA may be AWS's instead. With
 * `own`, the certificates are given and the secrets wait for an operator to put the keys in.
 */
export class PkiStack extends AwsStack {
  /** PEM, by name of the registry's file: root, infrastructure, device. Those that the registry makes itself are not here. */
  readonly certificates: Readonly<Partial<Record<"root" | Issuing, string>>>;
  /** ARNs of keys in KMS. */
  readonly signing: ReadonlyMap<"root" | Issuing, string>;
  readonly secrets: ReadonlyMap<"root" | Issuing, SecretsmanagerSecret>;
  /** Of the secrets. */
  readonly key: KmsKey | null;
  /** The device CA, where it is AWS's. */
  readonly privateCa: PrivateCa | null;

  constructor(scope: Construct, settings: AwsSettings) {
    super(scope, "pki", settings);
    const { pki } = settings;
    this.privateCa = pki.kind === "tls" && pki.deviceCa === "acmPca" ? writePrivateCa(this, pki.organization) : null;
    const names = pki.kind === "own" ? ISSUING : (["root", ...this.#issuing] as const);
    this.signing = new Map(pki.kind === "kms" ? names.map((name) => [name, this.#signingKey(name).arn]) : []);
    this.key = pki.kind === "kms" ? null : this.encryptionKey("pki-key", "keys of the CAs", { keeps: true });
    this.secrets = new Map(this.key === null ? [] : names.map((name) => [name, this.#secret(name, this.key?.arn ?? "")]));
    this.certificates = this.#certificates();
  }

  /** CAs below the root whose keys are made here. */
  get #issuing(): readonly Issuing[] {
    return this.privateCa === null ? ISSUING : ["infrastructure"];
  }

  #certificates(): PkiStack["certificates"] {
    const { pki } = this.settings;
    switch (pki.kind) {
      case "kms":
        return pki.root === undefined ? {} : { root: pki.root };
      case "tls":
        return this.#make(pki.organization);
      case "own":
        return { root: pki.root, infrastructure: pki.infrastructure, device: pki.device };
      default:
        return pki satisfies never;
    }
  }

  /** KMS turns no asymmetric key over: rotations of a CA take another key. */
  #signingKey(name: "root" | Issuing): KmsKey {
    const key = new KmsKey(this, `${name}-key`, {
      description: `${this.settings.environment}: ${name} CA signs`,
      customerMasterKeySpec: name === "root" ? "ECC_NIST_P384" : "ECC_NIST_P256",
      keyUsage: "SIGN_VERIFY",
      deletionWindowInDays: 30,
      policy: policy([this.owner]),
      tags: { Name: this.named(name) },
    });
    this.keep(key);
    return key;
  }

  #secret(name: string, kmsKeyId: string): SecretsmanagerSecret {
    const secret = new SecretsmanagerSecret(this, `${name}-secret`, {
      name: `entityos-gate/${this.settings.environment}/${name}`,
      description: `Private key of the ${name} CA, PEM`,
      kmsKeyId,
      recoveryWindowInDays: 30,
    });
    this.keep(secret);
    return secret;
  }

  #make(organization: string): PkiStack["certificates"] {
    new TlsProvider(this, "tls");
    const subject = (name: string) => [{ organization, commonName: `entityOS ${name} ${this.settings.environment}` }];
    const rootKey = this.#privateKey("root");
    const root = new SelfSignedCert(this, "root", {
      privateKeyPem: rootKey.privateKeyPem,
      subject: subject("root"),
      validityPeriodHours: LIFE_HOURS.root,
      allowedUses: CA_USES,
      isCaCertificate: true,
      setSubjectKeyId: true,
    });
    const below = this.#issuing.map((name) => {
      const key = this.#privateKey(name);
      const request = new CertRequest(this, `${name}-request`, { privateKeyPem: key.privateKeyPem, subject: subject(`${name} CA`) });
      const certificate = new LocallySignedCert(this, name, {
        certRequestPem: request.certRequestPem,
        caPrivateKeyPem: rootKey.privateKeyPem,
        caCertPem: root.certPem,
        validityPeriodHours: LIFE_HOURS.intermediate,
        allowedUses: CA_USES,
        isCaCertificate: true,
        setSubjectKeyId: true,
      });
      return [name, certificate] as const;
    });
    const made = [root, ...below.map(([, certificate]) => certificate)];
    // Another root is another system: every host would have to be enrolled anew.
    for (const one of made) this.keep(one);
    return { root: root.certPem, ...Object.fromEntries(below.map(([name, { certPem }]) => [name, certPem])) };
  }

  #privateKey(name: "root" | Issuing): PrivateKey {
    const key = new PrivateKey(this, `${name}-key`, { algorithm: "ECDSA", ecdsaCurve: name === "root" ? "P384" : "P256" });
    this.keep(key);
    const secretId = this.secrets.get(name)?.id ?? "";
    new SecretsmanagerSecretVersion(this, `${name}-secret-version`, { secretId, secretString: key.privateKeyPem });
    return key;
  }
}
