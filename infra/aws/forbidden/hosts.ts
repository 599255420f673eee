import { basename } from "node:path";
import { block, type Json, list, references, resourcesOf, type Synthesis } from "../synthesis.ts";
import { at, each, type Forbidden } from "./rule.ts";

const imdsv1: Forbidden = {
  name: "imdsv1",
  why: "an instance's credentials are given to who asked for a token on it, one hop away",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_instance", "aws_launch_template"), ({ fields }) => {
      const { http_tokens, http_put_response_hop_limit, http_endpoint } = block(fields.metadata_options);
      if (http_endpoint !== "enabled" || http_tokens !== "required") return "answers without a token";
      return http_put_response_hop_limit !== 1 && "answers over more hops than one";
    }),
};

/** Attributes that are secret, whoever refers to them. */
const SECRET_ATTRIBUTE = /\.(private_key_(pem|openssh|pem_pkcs8)|secret_string|secret_binary|password|secret)$/;
const SECRET_TEXT = /PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|aws_secret_access_key|password\s*[:=]/i;

const secretIn = (synthesis: Synthesis, value: Json | undefined): string | null => {
  const reference = references(synthesis, value).find((one) => SECRET_ATTRIBUTE.test(one));
  if (reference !== undefined) return `holds ${reference}`;
  const [, found] = /(.*)/.exec(SECRET_TEXT.exec(String(value))?.[0] ?? "") ?? [];
  return found === undefined || found === "" ? null : `holds ${JSON.stringify(found)}`;
};

const secretsInUserData: Forbidden = {
  name: "secrets-in-user-data",
  why: "who may describe an instance reads its user data",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_instance", "aws_launch_template"), ({ fields }) => {
      if ("user_data_base64" in fields) return "its user data cannot be read here";
      return secretIn(synthesis, fields.user_data ?? null);
    }),
};

/** Of a file, when Terraform plans. */
const CHECKSUM = /^\$\{filesha256\("([^"]+)"\)\}$/;

const uncheckedPackages: Forbidden = {
  name: "unchecked-packages",
  why: "a package counts with the checksum that the bucket's object was planned with",
  look: (synthesis) => {
    const packages = resourcesOf(synthesis, "aws_s3_object").filter(({ fields }) => String(fields.key).startsWith("packages/"));
    const known = new Map(packages.map(({ fields }) => [String(fields.key).slice("packages/".length), String(fields.source_hash ?? "")]));
    return [
      ...each(packages, ({ fields }) => {
        const [, hashed] = CHECKSUM.exec(String(fields.source_hash ?? "")) ?? [];
        if (hashed === undefined) return "has no checksum";
        const file = String(fields.key).slice("packages/".length);
        return hashed !== fields.source || basename(hashed) !== file ? `is ${fields.source} with the checksum of ${hashed}` : null;
      }),
      ...each(resourcesOf(synthesis, "aws_instance"), ({ fields }) => {
        const wanted = [...String(fields.user_data).matchAll(/ (\S+):(\S+?\.deb)\b/g)];
        if (wanted.length === 0) return "installs nothing by checksum";
        const [, , file] = wanted.find(([, sum, name = ""]) => sum === undefined || known.get(name) !== sum) ?? [];
        return file === undefined ? null : `wants ${file}, which is not in the bucket with that checksum`;
      }),
    ];
  },
};

const MOST_USER_DATA = 16_384;
/** What Terraform puts in a reference's place is shorter: ARNs, ids, names, checksums; and certificates of the tls provider. */
const REFERENCE_BYTES = 128;
const CERTIFICATE_BYTES = 1_024;

const tooMuchUserData: Forbidden = {
  name: "user-data-too-long",
  why: "EC2 takes 16 kB, with what Terraform puts in: 1 kB is counted for a certificate, 128 bytes for any other reference",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_instance"), ({ fields }) => {
      const text = String(fields.user_data);
      const put = [...text.matchAll(/\$\{[^}]*\}/g)].map(([one]) =>
        references(synthesis, one).some((reference) => reference.endsWith(".cert_pem")) ? CERTIFICATE_BYTES : REFERENCE_BYTES,
      );
      const bytes = Buffer.byteLength(text.replaceAll(/\$\{[^}]*\}/g, "")) + put.reduce((sum, one) => sum + one, 0);
      return bytes > MOST_USER_DATA && `has ${bytes} bytes`;
    }),
};

const oldTls: Forbidden = {
  name: "old-tls-policy",
  why: "who ends TLS speaks 1.3, or 1.2 with forward secrecy",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_lb_listener"), ({ fields }) => {
      if (fields.protocol !== "TLS" && fields.protocol !== "HTTPS") return null;
      return !/^ELBSecurityPolicy-TLS13-1-[23]-/.test(String(fields.ssl_policy ?? "")) && `speaks ${fields.ssl_policy ?? "AWS's default"}`;
    }),
};

const unwatched: Forbidden = {
  name: "no-alarm",
  why: "somebody is told when no target answers or a machine fails, and when nothing is told at all",
  look: (synthesis) => {
    const alarms = resourcesOf(synthesis, "aws_cloudwatch_metric_alarm");
    const watched = (metric: string): string[] =>
      alarms
        .filter(
          ({ fields }) =>
            fields.metric_name === metric && fields.treat_missing_data === "breaching" && list(fields.alarm_actions).length > 0,
        )
        .flatMap(({ fields }) => references(synthesis, fields.dimensions ?? null));
    const [answered, checked] = [watched("HealthyHostCount"), watched("StatusCheckFailed")];
    return [
      ...each(
        resourcesOf(synthesis, "aws_lb_target_group"),
        ({ type, id }) => !answered.includes(`${type}.${id}.arn_suffix`) && "nobody is told",
      ),
      ...each(resourcesOf(synthesis, "aws_instance"), ({ type, id }) => !checked.includes(`${type}.${id}.id`) && "nobody is told"),
      ...(resourcesOf(synthesis, "aws_sns_topic_subscription").length === 0
        ? resourcesOf(synthesis, "aws_sns_topic").map((topic) => at(topic, "has nobody to tell"))
        : []),
    ];
  },
};

const plainState: Forbidden = {
  name: "unencrypted-state",
  why: "Terraform's state is encrypted with a key that is named, and written by one at a time",
  look: ({ stacks }) =>
    [...stacks].flatMap(([part, { terraform }]) => {
      const { s3 } = terraform.backend;
      if (s3 === undefined) return [`${part} backend: is ${Object.keys(terraform.backend).join()}`];
      if (s3.encrypt !== true || typeof s3.kms_key_id !== "string") return [`${part} backend: is plain, or of AWS's key`];
      return s3.use_lockfile === true ? [] : [`${part} backend: is not locked`];
    }),
};

const keysElsewhere: Forbidden = {
  name: "keys-outside-pki",
  why: "private keys are in one stack's state, and leave it for Secrets Manager alone",
  look: (synthesis) => [
    ...each(
      resourcesOf(synthesis, "tls_private_key").filter(({ part }) => part !== "pki"),
      () => "is made in another stack",
    ),
    ...each(
      resourcesOf(synthesis).filter(({ part, type }) => part !== "pki" || !/^(tls_|aws_secretsmanager_secret_version$)/.test(type)),
      ({ type, fields }) => (type === "aws_instance" ? null : secretReference(synthesis, fields)),
    ),
    ...[...synthesis.stacks].flatMap(([part, { output = {} }]) =>
      Object.entries(output).flatMap(([name, { value }]) => {
        const reference = references(synthesis, value).find((one) => SECRET_ATTRIBUTE.test(one));
        return reference === undefined ? [] : [`${part} output ${name}: is ${reference}`];
      }),
    ),
  ],
};

const secretReference = (synthesis: Synthesis, fields: Json): string | null => {
  const reference = references(synthesis, fields).find((one) => SECRET_ATTRIBUTE.test(one));
  return reference === undefined ? null : `holds ${reference}`;
};

export const HOSTS: readonly Forbidden[] = [
  imdsv1,
  secretsInUserData,
  uncheckedPackages,
  tooMuchUserData,
  oldTls,
  unwatched,
  plainState,
  keysElsewhere,
];
