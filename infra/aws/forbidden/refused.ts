import { block, type Fields, type Json, type Resource, resourcesOf, type Synthesis } from "../synthesis.ts";
import { policiesOf, statementsOf } from "./policy.ts";
import { at, each, type Forbidden } from "./rule.ts";

/** Of groups and their rules: EC2 says it when it refuses one, an apostrophe for example. */
const GROUP_TEXT = /^[A-Za-z0-9. _\-:/()#,@[\]+=&;{}!$*]{0,255}$/;
const BALANCER_NAME = /^(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$/;
const IAM_NAME = /^[\w+=,.@-]{1,64}$/;
const TAG = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$/u;

/** Texts that AWS takes in one form alone, by "TYPE ATTRIBUTE". */
const FORMS: Readonly<Record<string, RegExp>> = {
  "aws_security_group description": GROUP_TEXT,
  "aws_security_group name": GROUP_TEXT,
  "aws_vpc_security_group_ingress_rule description": GROUP_TEXT,
  "aws_vpc_security_group_egress_rule description": GROUP_TEXT,
  "aws_lb name": BALANCER_NAME,
  "aws_lb_target_group name": BALANCER_NAME,
  "aws_iam_role name": IAM_NAME,
  "aws_iam_instance_profile name": IAM_NAME,
  // Terraform adds 26 characters to it.
  "aws_s3_bucket bucket_prefix": /^[a-z0-9][a-z0-9.-]{0,36}$/,
  "aws_dlm_lifecycle_policy description": /^[0-9A-Za-z _-]{1,500}$/,
  "aws_secretsmanager_secret name": /^[\w/+=.@-]{1,512}$/,
  "aws_cloudwatch_log_group name": /^[\w.\-/#]{1,512}$/,
  "aws_sns_topic name": /^[\w-]{1,256}$/,
  "aws_db_instance identifier": /^(?=.{1,63}$)[a-z](-?[a-z0-9])*$/,
};

const texts = ({ type, fields }: Resource): string[] => [
  ...Object.entries(fields).flatMap(([field, value]) => {
    const form = FORMS[`${type} ${field}`];
    return form !== undefined && !form.test(String(value)) ? [`AWS takes no such ${field}: ${String(value)}`] : [];
  }),
  ...Object.values(block(fields.tags)).flatMap((value) => (TAG.test(String(value)) ? [] : [`AWS takes no such tag: ${String(value)}`])),
];

/** A reference is an ARN or an id when AWS counts it: this much is more than any of ours. */
const REFERENCE = "x".repeat(128);
/** Characters without blanks: AWS's quotas of a role's own policies together, of who may take it, of a key's, a bucket's, an endpoint's. */
const MOST: Readonly<Record<string, number>> = {
  "aws_iam_role assume_role_policy": 2_048,
  "aws_kms_key policy": 32_768,
  "aws_s3_bucket_policy policy": 20_480,
  "aws_sns_topic_policy policy": 30_720,
  "aws_vpc_endpoint policy": 20_480,
};
const MOST_OF_A_ROLE = 10_240;

const lengthOf = (policy: Json | undefined): number =>
  String(policy)
    .replaceAll(/\$\{[^}]*\}/g, REFERENCE)
    .replaceAll(/\s/g, "").length;

const policies = (resource: Resource): string[] =>
  policiesOf(resource).flatMap(([field, policy]) => [
    ...(lengthOf(policy) > (MOST[`${resource.type} ${field}`] ?? MOST_OF_A_ROLE) ? [`AWS takes no ${field} as long as this`] : []),
    ...statementsOf(policy).flatMap(({ Sid = "" }) =>
      /^[A-Za-z0-9]*$/.test(String(Sid)) ? [] : [`AWS takes no such Sid: ${String(Sid)}`],
    ),
  ]);

/** How many of a type have one thing in common. */
function counted(synthesis: Synthesis, type: string, common: (fields: Fields) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { part, fields } of resourcesOf(synthesis, type)) {
    const key = `${part} ${type}: ${common(fields)}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

const tooMany = (counts: ReadonlyMap<string, number>, most: number): string[] =>
  [...counts].flatMap(([what, count]) => (count > most ? [`${what} has ${count}, and AWS takes ${most}`] : []));

const familyOf = ({ cidr_ipv4, cidr_ipv6 }: Fields): string =>
  cidr_ipv4 !== undefined ? "IPv4" : cidr_ipv6 !== undefined ? "IPv6" : "groups";

export const REFUSED: readonly Forbidden[] = [
  {
    name: "refused-by-aws",
    why: "what Terraform plans and AWS refuses would end a deploy half-way: characters and lengths of texts, numbers of rules (default quotas)",
    look: (synthesis) => [
      ...resourcesOf(synthesis).flatMap((resource) => [...texts(resource), ...policies(resource)].map((what) => at(resource, what))),
      ...["ingress", "egress"].flatMap((way) =>
        tooMany(
          counted(synthesis, `aws_vpc_security_group_${way}_rule`, (fields) => `${fields.security_group_id} ${familyOf(fields)}`),
          60,
        ),
      ),
      ...tooMany(
        counted(synthesis, "aws_network_acl_rule", ({ network_acl_id, egress }) => `${network_acl_id} ${egress === true ? "out" : "in"}`),
        20,
      ),
      ...each(resourcesOf(synthesis, "aws_db_instance"), ({ fields }) =>
        Number(fields.max_allocated_storage ?? 0) > 65_536 ? "AWS lets no database grow to more than 65536 GB" : null,
      ),
      ...roles(synthesis),
    ],
  },
];

function roles(synthesis: Synthesis): string[] {
  const sums = new Map<string, number>();
  for (const { part, fields } of resourcesOf(synthesis, "aws_iam_role_policy")) {
    const key = `${part} aws_iam_role_policy: ${fields.role}`;
    sums.set(key, (sums.get(key) ?? 0) + lengthOf(fields.policy));
  }
  return [...sums].flatMap(([what, sum]) => (sum > MOST_OF_A_ROLE ? [`${what} has policies of ${sum} characters together`] : []));
}
