import type { AwsSettings } from "../../form.ts";
import { namesOf } from "../../names.ts";
import { type Cast, type Casting, cast, encryptionKey, group, kept, type Member, ref, subnets, VPC } from "./member.ts";
import { issuing, privateCaCast } from "./private-ca.ts";

export const pkiCast: Casting = (settings) => {
  const { pki } = settings;
  const names = pki.kind === "own" ? issuing(settings) : ["root", ...issuing(settings)];
  if (pki.kind === "kms") return cast(names, (name) => ({ [`aws_kms_key.${name}-key`]: signingKey(settings, name) }));
  return {
    "aws_kms_key.pki-key": { ...encryptionKey, ...kept(settings) },
    ...cast(names, (name) => ({
      [`aws_secretsmanager_secret.${name}-secret`]: {
        description: null,
        kms_key_id: ref("pki aws_kms_key.pki-key.arn"),
        name: `entityos-gate/${settings.environment}/${name}`,
        recovery_window_in_days: "30",
        ...kept(settings),
      },
    })),
    ...(pki.kind === "tls" ? madeByTerraform(settings) : {}),
    ...privateCaCast(settings),
  };
};

const signingKey = (settings: AwsSettings, name: string): Member => ({
  customer_master_key_spec: name === "root" ? "ECC_NIST_P384" : "ECC_NIST_P256",
  deletion_window_in_days: "30",
  description: null,
  key_usage: "SIGN_VERIFY",
  policy: null,
  tags: null,
  ...kept(settings),
});

function madeByTerraform(settings: AwsSettings): Cast {
  const key = (name: string): string => ref(`pki tls_private_key.${name}-key.private_key_pem`);
  const subject: Member = { "subject.common_name": null, "subject.organization": null };
  const ca: Member = {
    allowed_uses: ["cert_signing", "crl_signing"],
    is_ca_certificate: "true",
    set_subject_key_id: "true",
    validity_period_hours: null,
    ...kept(settings),
  };
  return {
    ...cast(["root", ...issuing(settings)], (name) => ({
      [`tls_private_key.${name}-key`]: { algorithm: "ECDSA", ecdsa_curve: name === "root" ? "P384" : "P256", ...kept(settings) },
      [`aws_secretsmanager_secret_version.${name}-secret-version`]: {
        secret_id: ref(`pki aws_secretsmanager_secret.${name}-secret.id`),
        secret_string: key(name),
      },
    })),
    "tls_self_signed_cert.root": { ...ca, ...subject, private_key_pem: key("root") },
    ...cast(issuing(settings), (name) => ({
      [`tls_cert_request.${name}-request`]: { ...subject, private_key_pem: key(name) },
      [`tls_locally_signed_cert.${name}`]: {
        ...ca,
        ca_cert_pem: ref("pki tls_self_signed_cert.root.cert_pem"),
        ca_private_key_pem: key("root"),
        cert_request_pem: ref(`pki tls_cert_request.${name}-request.cert_request_pem`),
      },
    })),
  };
}

export const databaseCast: Casting = (settings) => {
  const key = ref("database aws_kms_key.database-key.arn");
  return {
    "aws_kms_key.database-key": { ...encryptionKey, ...kept(settings) },
    "aws_db_subnet_group.subnets": { name: null, subnet_ids: subnets("restricted", settings) },
    "aws_db_parameter_group.parameters": { family: null, name: null, "parameter.name": null, "parameter.value": null },
    "aws_db_instance.database": {
      allocated_storage: null,
      auto_minor_version_upgrade: "true",
      backup_retention_period: null,
      ca_cert_identifier: null,
      copy_tags_to_snapshot: "true",
      db_name: "entityos",
      db_subnet_group_name: ref("database aws_db_subnet_group.subnets.name"),
      delete_automated_backups: "false",
      deletion_protection: String(settings.protection),
      enabled_cloudwatch_logs_exports: ["postgresql", "upgrade"],
      engine: "postgres",
      engine_version: null,
      final_snapshot_identifier: null,
      iam_database_authentication_enabled: "true",
      identifier: null,
      instance_class: settings.registry.database?.instanceClass ?? "",
      kms_key_id: key,
      manage_master_user_password: "true",
      master_user_secret_kms_key_id: key,
      max_allocated_storage: null,
      multi_az: "true",
      parameter_group_name: ref("database aws_db_parameter_group.parameters.name"),
      performance_insights_enabled: "true",
      performance_insights_kms_key_id: key,
      publicly_accessible: "false",
      skip_final_snapshot: "false",
      storage_encrypted: "true",
      storage_type: "gp3",
      username: "entityos",
      vpc_security_group_ids: [group("database")],
      ...kept(settings),
    },
  };
};

export const dnsCast: Casting = (settings) => {
  const names = namesOf(settings.domain);
  const alias = (id: string, type: string, lb: string, name: string): Cast => ({
    [`aws_route53_record.${id}`]: {
      "alias.evaluate_target_health": "false",
      "alias.name": ref(`${lb}.dns_name`),
      "alias.zone_id": ref(`${lb}.zone_id`),
      name,
      type,
      zone_id: settings.hostedZone,
    },
  });
  const zone = settings.network.zones.find(({ name }) => name === settings.registry.zone) ?? settings.network.zones[0];
  const register = "registry aws_lb.register";
  const hasHosts = settings.pki.kind !== "kms" || settings.pki.root !== undefined;
  const { admit } = settings.restricted;
  const admits = (ipv6: boolean): boolean => admit === "everyone" || admit.some((cidr) => cidr.includes(":") === ipv6);
  return {
    ...alias("register-ipv4", "A", register, names.register),
    ...alias("register-ipv4-alone", "A", register, names.registerIpv4),
    ...alias("register-ipv6", "AAAA", register, names.register),
    ...alias("register-ipv6-alone", "AAAA", register, names.registerIpv6),
    ...(hasHosts && admits(false)
      ? {
          ...alias("service-ipv4", "A", "restricted aws_lb.service-ipv4", names.service),
          ...alias("service-ipv4-alone", "A", "restricted aws_lb.service-ipv4", names.serviceIpv4),
        }
      : {}),
    ...(hasHosts && admits(true)
      ? {
          ...alias("service-ipv6", "AAAA", "restricted aws_lb.service-ipv6", names.service),
          ...alias("service-ipv6-alone", "AAAA", "restricted aws_lb.service-ipv6", names.serviceIpv6),
        }
      : {}),
    "aws_route53_zone.inside": { comment: null, name: names.control, "vpc.vpc_id": VPC },
    "aws_route53_record.control": {
      name: names.control,
      records: [ref(`cidrhost("${zone?.restricted ?? ""}", 20)`)],
      ttl: null,
      type: "A",
      zone_id: ref("dns aws_route53_zone.inside.zone_id"),
    },
  };
};

export const alarmsCast: Casting = (settings) => {
  const topic = ref("alarms aws_sns_topic.topic.arn");
  const alarm = (id: string, metric: string, comparison: string, threshold: string | null): Cast => ({
    [`aws_cloudwatch_metric_alarm.${id}`]: {
      alarm_actions: [topic],
      alarm_description: null,
      alarm_name: null,
      comparison_operator: comparison,
      dimensions: null,
      evaluation_periods: null,
      metric_name: metric,
      namespace: null,
      ok_actions: [topic],
      period: "60",
      statistic: null,
      threshold,
      treat_missing_data: null,
    },
  });
  const hasHosts = settings.pki.kind !== "kms" || settings.pki.root !== undefined;
  const [above, below] = ["GreaterThanThreshold", "LessThanThreshold"];
  return {
    "aws_kms_key.alarms-key": encryptionKey,
    "aws_sns_topic.topic": { kms_master_key_id: ref("alarms aws_kms_key.alarms-key.arn"), name: null },
    "aws_sns_topic_policy.topic-policy": { arn: topic, policy: null },
    "aws_sns_topic_subscription.mail": { endpoint: settings.alarms.email, protocol: "email", topic_arn: topic },
    ...cast(["register", ...(hasHosts ? ["service-ipv4", "service-ipv6"] : [])], (name) => ({
      ...alarm(`${name}-unhealthy`, "UnHealthyHostCount", above, "0"),
      ...alarm(`${name}-none`, "HealthyHostCount", below, "1"),
    })),
    ...cast(["registry", ...(hasHosts ? settings.restricted.hosts.map(({ name }) => name) : [])], (name) =>
      alarm(`${name}-status`, "StatusCheckFailed", above, "0"),
    ),
    ...(settings.registry.replicas > 1 ? alarm("database-full", "FreeStorageSpace", below, null) : {}),
  };
};
