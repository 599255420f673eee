import { type Resource, references, resourcesOf, type Synthesis } from "./synthesis.ts";

/** What the picture shows, and how it calls it. */
const SHOWN: Readonly<Record<string, string>> = {
  aws_db_instance: "PostgreSQL",
  aws_ebs_volume: "volume",
  aws_instance: "instance",
  aws_lb: "load balancer",
  aws_lb_target_group: "targets",
  aws_nat_gateway: "NAT",
  aws_route53_record: "name",
  aws_s3_bucket: "bucket",
  aws_secretsmanager_secret: "secret",
  aws_sns_topic: "topic",
  aws_subnet: "subnet",
  aws_vpc_endpoint: "endpoint",
  tls_locally_signed_cert: "certificate",
  tls_self_signed_cert: "root",
};

/** Resources that join two others: the type that the arrow begins at, and those that it ends at. */
const JOINTS: Readonly<Record<string, readonly [from: string, to: readonly string[]]>> = {
  aws_lb_listener: ["aws_lb", ["aws_lb_target_group"]],
  aws_lb_target_group_attachment: ["aws_lb_target_group", ["aws_instance"]],
  aws_volume_attachment: ["aws_instance", ["aws_ebs_volume"]],
  aws_secretsmanager_secret_version: ["aws_secretsmanager_secret", []],
};

/** Types whose own references are drawn, and to what. */
const DIRECT: Readonly<Record<string, readonly string[]>> = {
  aws_instance: ["aws_subnet"],
  aws_nat_gateway: ["aws_subnet"],
  aws_route53_record: ["aws_lb"],
  tls_locally_signed_cert: ["tls_self_signed_cert"],
};

/**
 * The picture of an environment in Mermaid's language, from what was synthesised alone: who from outside is let to which load balancer,
 * what that forwards to, what each instance reads, where it stands.
 */
export function graph(synthesis: Synthesis): string {
  const shown = resourcesOf(synthesis, ...Object.keys(SHOWN));
  const edges = [...outsideEdges(synthesis), ...jointEdges(synthesis), ...directEdges(synthesis, shown), ...readEdges(synthesis)];
  const parts = [...synthesis.stacks.keys()].map((part) => {
    const nodes = shown.filter((one) => one.part === part);
    return nodes.length === 0
      ? ""
      : `  subgraph ${part}\n${nodes.map((one) => `    ${node(name(one))}["${SHOWN[one.type]}: ${titleOf(one)}"]\n`).join("")}  end\n`;
  });
  const outside = [...new Set(edges.flatMap(([from]) => (from.startsWith("outside ") ? [from] : [])))];
  const people = outside.map((who) => `  ${node(who)}(["${who.replace("outside ", "")}"])\n`);
  const lines = [...new Set(edges.map(([from, to, label]) => `  ${node(from)} -->${label === "" ? "" : `|${label}|`} ${node(to)}\n`))];
  return `flowchart LR\n${people.join("")}${parts.join("")}${lines.join("")}`;
}

type Edge = readonly [from: string, to: string, label: string];

const name = ({ type, id }: Pick<Resource, "type" | "id">): string => `${type}.${id}`;
const node = (text: string): string => text.replace(/[^A-Za-z0-9]+/g, "_");
const titleOf = ({ id, fields }: Resource): string => (typeof fields.name === "string" && !fields.name.includes("$") ? fields.name : id);

/** Names of the resources of a type that a value refers to. */
const named = (synthesis: Synthesis, value: Resource["fields"][string] | undefined, types: readonly string[]): string[] => [
  ...new Set(
    references(synthesis, value)
      .map((reference) => reference.replace(/\.\w+$/, ""))
      .filter((one) => types.includes(one.split(".")[0] ?? "")),
  ),
];

function outsideEdges(synthesis: Synthesis): Edge[] {
  const rules = resourcesOf(synthesis, "aws_vpc_security_group_ingress_rule");
  return resourcesOf(synthesis, "aws_lb").flatMap((lb) => {
    const groups = named(synthesis, lb.fields.security_groups, ["aws_security_group"]);
    return rules.flatMap(({ fields }): Edge[] => {
      const cidr = fields.cidr_ipv4 ?? fields.cidr_ipv6;
      const [group = ""] = named(synthesis, fields.security_group_id, ["aws_security_group"]);
      if (typeof cidr !== "string" || !groups.includes(group)) return [];
      const who = cidr.endsWith("/0") ? (cidr.includes(":") ? "everyone, IPv6" : "everyone, IPv4") : cidr;
      return [[`outside ${who}`, name(lb), String(fields.from_port)]];
    });
  });
}

const jointEdges = (synthesis: Synthesis): Edge[] =>
  resourcesOf(synthesis, ...Object.keys(JOINTS)).flatMap((joint) => {
    const [from = "", to = []] = JOINTS[joint.type] ?? [];
    const { part: _, ...rest } = joint;
    return named(synthesis, rest.fields, [from]).flatMap((start) =>
      named(synthesis, rest.fields, to).map((end): Edge => [start, end, joint.fields.port === undefined ? "" : String(joint.fields.port)]),
    );
  });

const directEdges = (synthesis: Synthesis, shown: readonly Resource[]): Edge[] =>
  shown.flatMap((one) => {
    const { user_data: _, ...fields } = one.fields;
    return named(synthesis, fields, DIRECT[one.type] ?? []).map((to): Edge => [name(one), to, ""]);
  });

/** What an instance's role may read or write. */
const readEdges = (synthesis: Synthesis): Edge[] =>
  resourcesOf(synthesis, "aws_instance").flatMap((instance) => {
    const policies = resourcesOf(synthesis, "aws_iam_role_policy")
      .filter(({ part, id }) => part === instance.part && [`${instance.id}-policy`, `${instance.id}-own-policy`].includes(id))
      .map(({ fields }) => fields.policy ?? null);
    return named(synthesis, policies, ["aws_s3_bucket", "aws_secretsmanager_secret"]).map((to): Edge => [name(instance), to, ""]);
  });
