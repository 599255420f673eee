import { DataAwsCallerIdentity } from "@cdktf/provider-aws/lib/data-aws-caller-identity/index.js";
import { KmsKey } from "@cdktf/provider-aws/lib/kms-key/index.js";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider/index.js";
import { S3Backend, type TerraformResource, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import type { AwsSettings } from "./form.ts";

/** An IAM statement as AWS writes it. */
export interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: "*" | Readonly<Record<string, string>>;
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

export const policy = (statements: readonly Statement[]): string => JSON.stringify({ Version: "2012-10-17", Statement: statements });

/** Who may take a role: one of AWS's services, for this account alone. */
export const trust = (service: string, account: string): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "Service",
        Effect: "Allow",
        Principal: { Service: service },
        Action: ["sts:AssumeRole"],
        ...(service === "ec2.amazonaws.com" ? {} : { Condition: { StringEquals: { "aws:SourceAccount": account } } }),
      },
    ],
  });

/** One part of an environment: provider, tags, and a state of its own that is encrypted and locked. */
export class AwsStack extends TerraformStack {
  readonly settings: AwsSettings;
  /** Its name in the environment: network, pki, … */
  readonly part: string;
  #account: DataAwsCallerIdentity | undefined;

  constructor(scope: Construct, part: string, settings: AwsSettings) {
    const { environment, region, state } = settings;
    super(scope, `${environment}-${part}`);
    this.settings = settings;
    this.part = part;
    const key = `entityos-gate/${environment}/${part}.tfstate`;
    new S3Backend(this, { bucket: state.bucket, region: state.region, key, encrypt: true, kmsKeyId: state.kmsKey });
    this.addOverride("terraform.backend.s3.use_lockfile", true);
    new AwsProvider(this, "aws", { region, defaultTags: [{ tags: { environment, part, project: "entityos-gate" } }] });
  }

  /** "production-NAME": how things are called that have a name of their own. */
  named(name: string): string {
    return `${this.settings.environment}-${name}`;
  }

  get account(): string {
    this.#account ??= new DataAwsCallerIdentity(this, "account");
    return this.#account.accountId;
  }

  /** AWS's default for keys: the account's IAM policies decide who uses one. */
  get owner(): Statement {
    return {
      Sid: "Account",
      Effect: "Allow",
      Principal: { AWS: `arn:aws:iam::${this.account}:root` },
      Action: ["kms:*"],
      Resource: "*",
    };
  }

  /**
   * A key for one purpose, turned over every year, for the account's policies and the named services. @param keeps whether it encrypts what
   * cannot be made again: without the key that is lost, so Terraform destroys none of those where the settings protect.
   */
  encryptionKey(id: string, purpose: string, { keeps, services = [] }: { keeps: boolean; services?: readonly Statement[] }): KmsKey {
    const key = new KmsKey(this, id, {
      description: `${this.settings.environment}: ${purpose}`,
      enableKeyRotation: true,
      deletionWindowInDays: 30,
      policy: policy([this.owner, ...services]),
      tags: { Name: this.named(id) },
    });
    if (keeps) this.keep(key);
    return key;
  }

  /** Terraform refuses a plan that would destroy it, where the settings protect. */
  keep(resource: TerraformResource): void {
    if (this.settings.protection) resource.lifecycle = { ...resource.lifecycle, preventDestroy: true };
  }
}
