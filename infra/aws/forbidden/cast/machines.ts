import type { AwsSettings } from "../../form.ts";
import { packageFiles } from "../../packages.ts";
import {
  type Cast,
  type Casting,
  cast,
  encryptionKey,
  group,
  kept,
  type Member,
  privateBucket,
  ref,
  role,
  subnet,
  subnets,
  VPC,
} from "./member.ts";

export const registryCast: Casting = (settings) => {
  const { registry, network } = settings;
  const zone = registry.zone ?? network.zones[0]?.name ?? "";
  const inBucket: Member = { bucket: ref("registry aws_s3_bucket.bucket.id") };
  const block = network.zones.find(({ name }) => name === zone)?.restricted ?? "";
  return {
    "aws_kms_key.key": { ...encryptionKey, ...kept(settings) },
    ...privateBucket(settings, { part: "registry", id: "bucket", key: "bucket-key", forEach: false }),
    "aws_s3_bucket_lifecycle_configuration.bucket-lifecycle": {
      ...inBucket,
      "rule.expiration.days": null,
      "rule.filter.prefix": "hosts/",
      "rule.id": "enrolments",
      "rule.noncurrent_version_expiration.noncurrent_days": null,
      "rule.status": "Enabled",
    },
    ...cast([...new Set(Object.values(packageFiles(settings)).flat())], (file) => ({
      // cdktf leaves out of a name what Terraform does not take.
      [`aws_s3_object.package-${file.replaceAll(/[^\w-]/g, "")}`]: {
        ...inBucket,
        checksum_algorithm: "SHA256",
        key: `packages/${file}`,
        source: null,
        source_hash: null,
      },
    })),
    "aws_ebs_volume.volume": {
      availability_zone: zone,
      encrypted: "true",
      final_snapshot: "true",
      kms_key_id: ref("registry aws_kms_key.key.arn"),
      size: String(registry.volumeGb),
      tags: null,
      type: "gp3",
      ...kept(settings),
    },
    ...role("registry", "snapshots", "snapshots"),
    "aws_dlm_lifecycle_policy.snapshots": {
      description: null,
      execution_role_arn: ref("registry aws_iam_role.snapshots-role.arn"),
      "policy_details.resource_types": ["VOLUME"],
      "policy_details.schedule.copy_tags": "true",
      "policy_details.schedule.create_rule.interval": String(registry.snapshots.everyHours),
      "policy_details.schedule.create_rule.interval_unit": "HOURS",
      "policy_details.schedule.name": "regular",
      "policy_details.schedule.retain_rule.count": String(registry.snapshots.keep),
      "policy_details.target_tags": null,
      state: "ENABLED",
    },
    ...machine(settings, {
      part: "registry",
      name: "registry",
      zone,
      of: "registry",
      type: registry.instanceType,
      gb: null,
      address: { private_ip: ref(`cidrhost("${block}", 20)`) },
    }),
    "aws_volume_attachment.volume-attachment": {
      device_name: "/dev/sdf",
      instance_id: ref("registry aws_instance.registry.id"),
      stop_instance_before_detaching: "true",
      volume_id: ref("registry aws_ebs_volume.volume.id"),
    },
    ...balancer(settings, {
      part: "registry",
      name: "register",
      health: ["HTTPS", "/readyz", "443"],
      targets: { registry: ref("registry aws_instance.registry.id") },
    }),
  };
};

export const restrictedCast: Casting = (settings) => {
  const { hosts, instanceType, diskGb } = settings.restricted;
  const targets = (of: (name: string) => string) => Object.fromEntries(hosts.map(({ name }) => [name, ref(of(name))]));
  const common = { part: "restricted", health: ["HTTP", "/", "8440"] } as const;
  return {
    ...cast(hosts, ({ name, zone }) =>
      machine(settings, {
        part: "restricted",
        name,
        zone,
        of: "hosts",
        type: instanceType,
        gb: String(diskGb),
        address: { ipv6_address_count: "1" },
      }),
    ),
    ...balancer(settings, { ...common, name: "service-ipv4", targets: targets((name) => `restricted aws_instance.${name}.id`) }),
    ...balancer(settings, {
      ...common,
      name: "service-ipv6",
      targets: targets((name) => `element(restricted aws_instance.${name}.ipv6_addresses, 0)`),
    }),
  };
};

interface Machine {
  readonly part: string;
  readonly name: string;
  readonly zone: string;
  /** Its security group. */
  readonly of: string;
  readonly type: string;
  readonly gb: string | null;
  /** What it says of addresses of its own. */
  readonly address: Member;
}

/** An instance with a role, a profile and a policy of its own, and nobody else's. */
function machine({ image, protection }: AwsSettings, { part, name, zone, of, type, gb, address }: Machine): Cast {
  return {
    ...role(part, name, "host"),
    [`aws_iam_role_policy.${name}-own-policy`]: { name: "own", policy: null, role: ref(`${part} aws_iam_role.${name}-role.id`) },
    [`aws_iam_instance_profile.${name}-profile`]: { name: null, role: ref(`${part} aws_iam_role.${name}-role.name`) },
    [`aws_instance.${name}`]: {
      ami: typeof image === "string" ? image : ref(`${part} data.aws_ami.debian.id`),
      associate_public_ip_address: "false",
      disable_api_termination: String(protection),
      iam_instance_profile: ref(`${part} aws_iam_instance_profile.${name}-profile.name`),
      instance_type: type,
      "lifecycle.ignore_changes": ["ami", "user_data"],
      "metadata_options.http_endpoint": "enabled",
      "metadata_options.http_put_response_hop_limit": "1",
      "metadata_options.http_tokens": "required",
      "metadata_options.instance_metadata_tags": "disabled",
      monitoring: "true",
      "root_block_device.encrypted": "true",
      "root_block_device.kms_key_id": ref("registry aws_kms_key.key.arn"),
      "root_block_device.volume_size": gb,
      "root_block_device.volume_type": "gp3",
      subnet_id: subnet("restricted", zone),
      tags: null,
      user_data: null,
      vpc_security_group_ids: [group(of)],
      ...address,
    },
  };
}

interface Balancer {
  readonly part: string;
  readonly name: string;
  readonly health: readonly [protocol: string, path: string, port: string];
  readonly targets: Readonly<Record<string, string>>;
}

function balancer(settings: AwsSettings, { part, name, health: [protocol, path, port], targets }: Balancer): Cast {
  const toTargets = ref(`${part} aws_lb_target_group.${name}-targets.arn`);
  return {
    [`aws_lb.${name}`]: {
      enable_cross_zone_load_balancing: "true",
      enable_deletion_protection: String(settings.protection),
      internal: "false",
      ip_address_type: null,
      load_balancer_type: "network",
      name: null,
      security_groups: [group(name.replace("service-", "service-balancer-").replace(/^register$/, "register-balancer"))],
      subnets: subnets("open", settings),
    },
    [`aws_lb_listener.${name}-listener`]: {
      "default_action.target_group_arn": toTargets,
      "default_action.type": "forward",
      load_balancer_arn: ref(`${part} aws_lb.${name}.arn`),
      port: "443",
      protocol: "TCP",
    },
    [`aws_lb_target_group.${name}-targets`]: {
      connection_termination: "true",
      deregistration_delay: "60",
      "health_check.interval": null,
      "health_check.matcher": "200",
      "health_check.path": path,
      "health_check.port": port,
      "health_check.protocol": protocol,
      "health_check.timeout": null,
      ip_address_type: null,
      name: null,
      port: "443",
      preserve_client_ip: null,
      protocol: "TCP",
      proxy_protocol_v2: null,
      target_type: null,
      vpc_id: VPC,
    },
    ...cast(Object.entries(targets), ([target, id]) => ({
      [`aws_lb_target_group_attachment.${name}-${target}`]: { port: "443", target_group_arn: toTargets, target_id: id },
    })),
  };
}
