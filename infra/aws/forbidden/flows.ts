import { parsePrefix } from "../../../lib/ip.ts";
import type { AwsSettings } from "../form.ts";
import { type Resource, resourcesOf, type Synthesis } from "../synthesis.ts";
import { ref, subnets } from "./cast/member.ts";
import { meaning } from "./meaning.ts";
import { at, each, type Forbidden } from "./rule.ts";

const EVERYONE = ["0.0.0.0/0", "::/0"];
/** More networks than a network ACL takes are left to the groups (infra/aws/acl.ts). */
const MAX_NETWORKS = 16;
const isIpv6 = (cidr: string): boolean => cidr.includes(":");

/** "who port" → the group that it reaches; each is a rule of one group about the other. */
function ingressOf(settings: AwsSettings): readonly string[] {
  const admitted = settings.restricted.admit === "everyone" ? EVERYONE : settings.restricted.admit;
  return [
    ...EVERYONE.map((cidr) => `${cidr} → register-balancer 443`),
    ...admitted.map((cidr) => `${cidr} → service-balancer-${isIpv6(cidr) ? "ipv6" : "ipv4"} 443`),
    ...between(settings),
  ];
}

const egressOf = (settings: AwsSettings): readonly string[] => [
  ...["registry", "hosts"].flatMap((from) => EVERYONE.flatMap((cidr) => [443, 80].map((port) => `${from} → ${cidr} ${port}`))),
  ...between(settings),
];

/** Both sides have a rule for each. */
const between = ({ network, registry }: AwsSettings): readonly string[] => [
  "register-balancer → registry 443",
  ...["service-balancer-ipv4", "service-balancer-ipv6"].flatMap((from) => [`${from} → hosts 443`, `${from} → hosts 8440`]),
  "hosts → registry 8444",
  ...(network.endpoints.length === 0 ? [] : ["registry → endpoints 443", "hosts → endpoints 443"]),
  ...(registry.replicas > 1 ? ["registry → database 5432"] : []),
];

/** A rule of a security group as one of the list is written; prefix lists, ranges of ports and other protocols are on none. */
function written(synthesis: Synthesis, { part, fields }: Resource, inward: boolean): string {
  const { cidr_ipv4, cidr_ipv6, referenced_security_group_id, security_group_id, ip_protocol, from_port, to_port } = fields;
  const named = (text: unknown): string => {
    const said = meaning(synthesis, part, String(text));
    return /^\$\{network aws_security_group\.([\w-]+)\.id\}$/.exec(said)?.[1] ?? said;
  };
  const peers = [cidr_ipv4, cidr_ipv6, referenced_security_group_id].filter((one) => one !== undefined).map(named);
  const peer = peers.join(" and ") || "nobody";
  const ports = ip_protocol === "tcp" ? (from_port === to_port ? `${from_port}` : `${from_port}-${to_port}`) : `protocol ${ip_protocol}`;
  return inward ? `${peer} → ${named(security_group_id)} ${ports}` : `${named(security_group_id)} → ${peer} ${ports}`;
}

const unlistedFlow: Forbidden = {
  name: "unlisted-flow",
  why: "who may send packets to whom is a closed list, of TCP to one port each: groups by reference, networks as the settings name them; all of it is there",
  look: (synthesis) =>
    ([true, false] as const).flatMap((inward) => {
      const listed = inward ? ingressOf(synthesis.settings) : egressOf(synthesis.settings);
      const type = `aws_vpc_security_group_${inward ? "in" : "e"}gress_rule`;
      const rules = resourcesOf(synthesis, type);
      const there = new Set(rules.map((rule) => written(synthesis, rule, inward)));
      return [
        ...each(rules, (rule) => {
          const flow = written(synthesis, rule, inward);
          return listed.includes(flow) ? null : flow;
        }),
        ...missing("network", type, listed, there),
      ];
    }),
};

/** What is listed and is not there: who is to reach somebody would not. */
const missing = (part: string, type: string, listed: readonly string[], there: ReadonlySet<string>): string[] =>
  listed.filter((one) => !there.has(one)).map((one) => `${part} ${type}: ${one} is missing`);

/** Entries of a network ACL, "out|in NETWORK PORTS". */
function entriesOf({ restricted }: AwsSettings, kind: string): readonly string[] {
  const inside = [ref("network aws_vpc.vpc.cidr_block"), ref("network aws_vpc.vpc.ipv6_cidr_block")];
  const named = restricted.admit === "everyone" || restricted.admit.length > MAX_NETWORKS ? EVERYONE : restricted.admit;
  return [
    ...["in", "out"].flatMap((way) => inside.map((cidr) => `${way} ${cidr} everything`)),
    ...["in", "out"].flatMap((way) => EVERYONE.map((cidr) => `${way} ${cidr} 1024-65535`)),
    ...EVERYONE.flatMap((cidr) => [80, 443].map((port) => `out ${cidr} ${port}-${port}`)),
    ...(kind === "open" ? EVERYONE : named).map((cidr) => `in ${cidr} 443-443`),
  ];
}

/** An entry as the list has it, and the ACL that it is of, "open" or "restricted" where it is one of ours. */
function writtenEntry(synthesis: Synthesis, { part, fields }: Resource): { readonly entry: string; readonly of: string } {
  const { cidr_block, ipv6_cidr_block, egress, from_port, to_port, protocol, rule_action, network_acl_id } = fields;
  const acl = meaning(synthesis, part, String(network_acl_id));
  const [, kind] = /^\$\{network aws_network_acl\.(open|restricted)-acl\.id\}$/.exec(acl) ?? [];
  const cidr = [cidr_block, ipv6_cidr_block].filter((one) => one !== undefined).map((one) => meaning(synthesis, part, String(one)));
  const ports = protocol === "tcp" ? `${from_port}-${to_port}` : protocol === "-1" ? "everything" : `protocol ${protocol}`;
  const entry = `${egress === true ? "out" : "in"} ${cidr.join(" and ")} ${ports}`;
  return { entry: rule_action === "allow" ? entry : `${rule_action} ${entry}`, of: kind ?? acl };
}

const unlistedEntry: Forbidden = {
  name: "unlisted-acl-entry",
  why: "network ACLs admit the service and answers from outside, and from inside everything, no more and no less; each subnet has the one of its zone",
  look: (synthesis) => {
    const type = "aws_network_acl_rule";
    const rules = resourcesOf(synthesis, type);
    const there = new Set(
      rules.map((rule) => {
        const { entry, of } = writtenEntry(synthesis, rule);
        return `${of}: ${entry}`;
      }),
    );
    const listed = ["open", "restricted"].flatMap((kind) => entriesOf(synthesis.settings, kind).map((entry) => `${kind}: ${entry}`));
    return [
      ...each(rules, (rule) => {
        const { entry, of } = writtenEntry(synthesis, rule);
        return listed.includes(`${of}: ${entry}`) ? null : `${entry} of ${of}`;
      }),
      ...missing("network", type, listed, there),
      ...resourcesOf(synthesis, "aws_network_acl").flatMap((acl) => {
        const own = subnets(acl.id === "open-acl" ? "open" : "restricted", synthesis.settings);
        const is = ((acl.fields.subnet_ids ?? []) as readonly string[]).map((one) => meaning(synthesis, acl.part, one));
        return is.filter((one) => !own.includes(one)).map((one) => at(acl, `has ${one}`));
      }),
    ];
  },
};

/** Prefixes that are of no family that a rule is written for would pass as another text: each is in its own form. */
const otherForm: Forbidden = {
  name: "wrong-family",
  why: "a network is written in its own form, and of the family that its rule says",
  look: (synthesis) =>
    each(
      resourcesOf(synthesis, "aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule", "aws_network_acl_rule"),
      ({ part, fields }) => {
        const pairs = [
          [4, fields.cidr_ipv4 ?? fields.cidr_block],
          [6, fields.cidr_ipv6 ?? fields.ipv6_cidr_block],
        ] as const;
        for (const [family, value] of pairs) {
          if (typeof value !== "string") continue;
          const said = meaning(synthesis, part, value);
          if (said.startsWith("$")) {
            if (said.includes("ipv6") !== (family === 6)) return `${said} is not IPv${family}`;
          } else if (parsePrefix(said).family !== family || parsePrefix(said).text !== said) return `${said} is not IPv${family}`;
        }
        return null;
      },
    ),
};

export const FLOWS: readonly Forbidden[] = [unlistedFlow, unlistedEntry, otherForm];
