import type { UserDataInput } from "../boot/input.ts";
import type { AwsSettings } from "../form.ts";
import { packageFiles } from "../packages.ts";
import { type Resource, resourcesOf, type Synthesis } from "../synthesis.ts";
import { METADATA, userData } from "../user-data.ts";
import { ref } from "./cast/member.ts";
import { isPrivateCa, issuing } from "./cast/private-ca.ts";
import { filesOf } from "./configuration.ts";
import { meaning } from "./meaning.ts";
import { each, type Forbidden } from "./rule.ts";

/** Certificates that Terraform or the settings hand the registry, by name. */
function certificatesOf(settings: AwsSettings): Readonly<Record<string, string>> {
  const { pki } = settings;
  if (pki.kind === "own") return { root: pki.root, infrastructure: pki.infrastructure, device: pki.device };
  if (pki.kind === "kms") return pki.root === undefined ? {} : { root: pki.root };
  const below = issuing(settings).map((name) => [name, ref(`pki tls_locally_signed_cert.${name}.cert_pem`)]);
  return { root: ref("pki tls_self_signed_cert.root.cert_pem"), ...Object.fromEntries(below) };
}

function registryRole(settings: AwsSettings): UserDataInput["role"] {
  const { pki, region } = settings;
  const secret = (name: string): string => ref(`pki aws_secretsmanager_secret.${name}-secret.arn`);
  return {
    kind: "registry",
    volume: `/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${ref('replace(registry aws_ebs_volume.volume.id, "-", "")')}`,
    secrets: `https://secretsmanager.${region}.amazonaws.com`,
    certificates: certificatesOf(settings),
    keys: pki.kind === "kms" ? [] : issuing(settings).map((name) => ({ name, secret: secret(name) })),
    rootKey: pki.kind === "tls" ? { secret: secret("root"), atHand: pki.rootAtHand } : null,
    signsAtAws: pki.kind === "kms" || isPrivateCa(settings),
  };
}

/** What the machine is to be, from the settings and the configuration that it gets, which another rule reads. */
function inputOf(synthesis: Synthesis, instance: Resource): UserDataInput {
  const { settings } = synthesis;
  const isAgent = instance.part === "restricted";
  const sums = new Map(resourcesOf(synthesis, "aws_s3_object").map(({ fields }) => [String(fields.key), String(fields.source_hash)]));
  const files = packageFiles(settings)[isAgent ? "hosts" : "registry"];
  const configured = [...filesOf(synthesis, instance)].filter(([path]) => /^\/etc\/entityos-(agent|registry)\//.test(path));
  return {
    name: instance.id,
    region: settings.region,
    bucket: `https://${ref("registry aws_s3_bucket.bucket.bucket_regional_domain_name")}`,
    metadata: METADATA,
    packages: files.map((file) => ({ file, sha256: sums.get(`packages/${file}`) ?? "" })),
    debian: [isAgent ? "haproxy" : "nftables"],
    files: configured.map(([path, text]) => ({ path, mode: "0644" as const, text })),
    role: isAgent ? { kind: "agent" } : registryRole(settings),
  };
}

const otherFirstBoot: Forbidden = {
  name: "other-first-boot",
  why: "what a machine does when it first starts is what this version makes of the settings, to the byte",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_instance"), (instance) => {
      const is = meaning(synthesis, instance.part, String(instance.fields.user_data ?? "")).split("\n");
      const wanted = userData(inputOf(synthesis, instance)).split("\n");
      const line = is.findIndex((text, index) => text !== wanted[index]);
      if (line < 0) return is.length === wanted.length ? null : "ends before its end";
      return `does something else in line ${line + 1}: ${(is[line] ?? "").slice(0, 120)}`;
    }),
};

export const FIRST_BOOT: readonly Forbidden[] = [otherFirstBoot];
