import { costRows } from "./cost.ts";
import { useSaid } from "./cost-use.ts";
import { statementsOf } from "./forbidden/policy.ts";
import { graph } from "./graph.ts";
import { type Json, list, type Resource, references, resourcesOf, type Synthesis } from "./synthesis.ts";

/** One row for each stack: resources, and how many there are of all. */
export function countRows({ settings, stacks }: Synthesis): readonly (readonly [stack: string, resources: number])[] {
  const rows = [...stacks].map(([part, { resource }]) => {
    const count = Object.values(resource).reduce((sum, all) => sum + Object.keys(all).length, 0);
    return [`${settings.environment}-${part}`, count] as const;
  });
  return [...rows, [settings.environment, rows.reduce((sum, [, count]) => sum + count, 0)]];
}

/** For reviewers: what an environment is, as pages that change only when it does. */
export function reviewPage(synthesis: Synthesis): string {
  const { environment } = synthesis.settings;
  return `# ${environment}, as synthesised

Made by \`npm run review\` from \`infra/environments/${environment}.yaml\`; a test holds it against the synthesis. Every resource with all that it says: [${environment}.txt](${environment}.txt).

## Resources

${table(["stack", "resources"], countRows(synthesis))}
## Cost

USD a month of 730 hours, on demand, at the prices of us-east-1, which other regions are mostly above. Each price says where it was read; AWS's own price lists could not be reached when this was written (2026-11-29). "?" is a type of instance that \`infra/aws/cost.ts\` has no price of: put it there, with its source and day (\`aws pricing get-products --service-code AmazonEC2 --region us-east-1\`), and run \`npm run review\`.

What use decides is an example: ${useSaid} Requests to KMS, Secrets Manager and S3, and queries of names, are cents and not counted. Silent knocks cost too: what one port of a source knocks in a minute is some records of the flow logs.

${table(["what", "how many", "price", "a month"], costRows(synthesis))}
## Picture

Arrows from outside carry the port that is open; from a load balancer, the port it forwards to. From an instance they go to its subnet and to what its role reads or writes.

\`\`\`mermaid
${graph(synthesis)}\`\`\`

## Who may send packets to whom

What is not here is not: TCP alone, by security group. Networks are written as they are, groups by name.

${table(["from", "to", "port", "why"], groupRows(synthesis))}
## Who may do what

Every statement of every role, key, bucket, endpoint and topic.

${table(["whose", "statement", "who", "actions", "on", "if"], policyRows(synthesis))}`;
}

const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |\n`).join("");

const groupName = (synthesis: Synthesis, value: Json | undefined): string => {
  const [reference = ""] = references(synthesis, value);
  return `**${reference.split(".")[1] ?? ""}**`;
};

/** Rules in both directions; what both sides say is one row. */
function groupRows(synthesis: Synthesis): string[][] {
  const rules = [
    ...resourcesOf(synthesis, "aws_vpc_security_group_ingress_rule").map((rule) => flow(synthesis, rule, true)),
    ...resourcesOf(synthesis, "aws_vpc_security_group_egress_rule").map((rule) => flow(synthesis, rule, false)),
  ];
  return [...new Map(rules.map((row) => [row.join(), row])).values()].sort((a, b) => (a.join() < b.join() ? -1 : 1));
}

function flow(synthesis: Synthesis, { fields }: Resource, inward: boolean): string[] {
  const own = groupName(synthesis, fields.security_group_id);
  const cidr = fields.cidr_ipv4 ?? fields.cidr_ipv6;
  const peer = cidr === undefined ? groupName(synthesis, fields.referenced_security_group_id) : String(cidr);
  const ports = fields.from_port === fields.to_port ? String(fields.from_port) : `${fields.from_port}-${fields.to_port}`;
  return inward ? [peer, own, ports, String(fields.description)] : [own, peer, ports, String(fields.description)];
}

function policyRows(synthesis: Synthesis): string[][] {
  return resourcesOf(synthesis)
    .flatMap((resource) =>
      ["policy", "assume_role_policy"].flatMap((field) =>
        statementsOf(resource.fields[field]).map((said) => [
          `${resource.part} ${resource.type.replace(/^aws_/, "")}.${resource.id}${field === "policy" ? "" : " (trust)"}`,
          `${said.Effect === "Deny" ? "**denies** " : ""}${String(said.Sid ?? "")}`,
          short(synthesis, said.Principal),
          list(said.Action)
            .map((one) => short(synthesis, one))
            .join("<br>"),
          list(said.Resource)
            .map((one) => short(synthesis, one))
            .join("<br>"),
          short(synthesis, said.Condition),
        ]),
      ),
    )
    .sort((a, b) => (a.join() < b.join() ? -1 : 1));
}

/** References as names instead of paths through other stacks' states. */
function short(synthesis: Synthesis, value: Json | undefined): string {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text
    .replace(/\$\{[^}]*\}/g, (whole) => `‹${references(synthesis, whole)[0] ?? whole.replace(/^\$\{data\.|\}$/g, "")}›`)
    .replaceAll("*", "\\*");
}
