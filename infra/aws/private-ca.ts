import { AcmpcaCertificateAuthority } from "@cdktf/provider-aws/lib/acmpca-certificate-authority/index.js";
import type { S3Bucket } from "@cdktf/provider-aws/lib/s3-bucket/index.js";
import { S3BucketPolicy } from "@cdktf/provider-aws/lib/s3-bucket-policy/index.js";
import { Fn } from "cdktf";
import { bucketPrefix, PRIVATE_CA_ACTIONS } from "./endpoints.ts";
import { tlsAlone, writePrivateBucket } from "./private-bucket.ts";
import { type AwsStack, policy, type Statement } from "./stack.ts";

/** As the registry's own lists; AWS renews them at half of it. */
const LIST_DAYS = 7;
const TEMPLATE = "template/BlankEndEntityCertificate_APIPassthrough/V1";
/** What the registry's own parser sees in the places of what AWS names later. */
const EXAMPLE_ID = "00000000-0000-0000-0000-000000000000";
const exampleArn = `arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/${EXAMPLE_ID}`;

/** A subordinate CA of AWS Private CA that is the device CA: the registry's root signs it. */
export interface PrivateCa {
  readonly arn: string;
  /** URL of the list of revoked certificates that AWS writes. */
  readonly list: string;
  /** Each text that AWS decides, and an example of it. */
  readonly later: ReadonlyMap<string, string>;
  /** What the registry's role may do with it. @param root whether it has the root's key */
  readonly statements: (root: boolean) => readonly Statement[];
  /** For the list's key, which S3 uses in the registry's name. */
  readonly keyStatement: Statement;
}

/** Makes the CA, which waits for its certificate, and the bucket that its list is written to. */
export function writePrivateCa(stack: AwsStack, organization: string): PrivateCa {
  const { bucket, key } = writeListBucket(stack);
  const bucketPolicy = writeListPolicy(stack, bucket);
  const ca = new AcmpcaCertificateAuthority(stack, "device-ca", {
    type: "SUBORDINATE",
    usageMode: "GENERAL_PURPOSE",
    certificateAuthorityConfiguration: {
      keyAlgorithm: "EC_prime256v1",
      signingAlgorithm: "SHA256WITHECDSA",
      subject: { organization, commonName: `entityOS device CA ${stack.settings.environment}` },
    },
    revocationConfiguration: {
      crlConfiguration: { enabled: true, expirationInDays: LIST_DAYS, s3BucketName: bucket.id, s3ObjectAcl: "BUCKET_OWNER_FULL_CONTROL" },
    },
    permanentDeletionTimeInDays: 30,
    tags: { Name: stack.named("device-ca") },
    // AWS writes to the bucket before it makes the CA.
    dependsOn: [bucketPolicy],
  });
  stack.keep(ca);
  // Every look at an attribute is another text to be replaced.
  const { arn } = ca;
  const { bucketRegionalDomainName: host } = bucket;
  const id = Fn.replace(arn, "/^.*[/]/", "");
  const template = `arn:aws:acm-pca:::${TEMPLATE}`;
  return {
    arn,
    list: `https://${host}/crl/${id}.crl`,
    later: new Map([
      [arn, exampleArn],
      [host, "example.s3.eu-central-1.amazonaws.com"],
      [id, EXAMPLE_ID],
    ]),
    statements: (root) => [
      {
        Sid: "DeviceCa",
        Effect: "Allow",
        Action: [...PRIVATE_CA_ACTIONS.always, ...(root ? PRIVATE_CA_ACTIONS.withRoot : [])],
        Resource: arn,
      },
      {
        Sid: "DeviceCertificates",
        Effect: "Allow",
        Action: PRIVATE_CA_ACTIONS.issue,
        Resource: arn,
        Condition: { StringEquals: { "acm-pca:TemplateArn": template } },
      },
      { Sid: "Lists", Effect: "Allow", Action: ["s3:GetObject"], Resource: `${bucket.arn}/crl/*` },
      // Without it S3 says of a list that is not there yet that it is forbidden.
      { Sid: "ListsThere", Effect: "Allow", Action: ["s3:ListBucket"], Resource: bucket.arn },
    ],
    keyStatement: { Sid: "ListsKey", Effect: "Allow", Action: ["kms:Decrypt"], Resource: key },
  };
}

function writeListBucket(stack: AwsStack): { readonly bucket: S3Bucket; readonly key: string } {
  const object = (name: string) => `arn:aws:s3:::${bucketPrefix(stack)}*/${name}`;
  const key = stack.encryptionKey("lists-key", "lists of AWS Private CA", {
    // AWS writes the next list whatever became of the last.
    keeps: false,
    services: [
      {
        Sid: "PrivateCa",
        Effect: "Allow",
        Principal: { Service: "acm-pca.amazonaws.com" },
        Action: ["kms:GenerateDataKey", "kms:Decrypt"],
        Resource: "*",
        Condition: {
          StringLike: {
            "kms:EncryptionContext:aws:s3:arn": ["acm-pca-permission-test-key", "acm-pca-permission-test-key-private", "crl/*"].map(object),
          },
        },
      },
    ],
  });
  return { bucket: writePrivateBucket(stack, "lists", key, { forEach: true }), key: key.arn };
}

const writeListPolicy = (stack: AwsStack, bucket: S3Bucket): S3BucketPolicy =>
  new S3BucketPolicy(stack, "lists-policy", {
    bucket: bucket.id,
    policy: policy([
      tlsAlone(bucket),
      {
        Sid: "PrivateCa",
        Effect: "Allow",
        Principal: { Service: "acm-pca.amazonaws.com" },
        Action: ["s3:PutObject", "s3:PutObjectAcl", "s3:GetBucketAcl", "s3:GetBucketLocation"],
        Resource: [bucket.arn, `${bucket.arn}/*`],
        Condition: { StringEquals: { "aws:SourceAccount": stack.account } },
      },
    ]),
  });
