import { SecurityGroup } from "@cdktf/provider-aws/lib/security-group/index.js";
import { VpcSecurityGroupEgressRule } from "@cdktf/provider-aws/lib/vpc-security-group-egress-rule/index.js";
import { VpcSecurityGroupIngressRule } from "@cdktf/provider-aws/lib/vpc-security-group-ingress-rule/index.js";
import { parsePrefix } from "../../lib/ip.ts";
import { PORT } from "../../lib/service.ts";
import type { AwsSettings } from "./form.ts";
import type { AwsStack } from "./stack.ts";

/** Security groups: who they are for, in characters that EC2 takes: no apostrophe. */
export const GROUPS = {
  "register-balancer": "load balancer in front of register",
  "service-balancer-ipv4": "load balancer in front of the gates, IPv4",
  "service-balancer-ipv6": "load balancer in front of the gates, IPv6",
  registry: "the registry",
  hosts: "hosts behind their own gate",
  endpoints: "AWS services inside the network",
  database: "PostgreSQL",
} as const;
export type GroupName = keyof typeof GROUPS;

const HTTP = 80;
const HTTPS = 443;
const POSTGRES = 5432;
const EVERYONE = ["0.0.0.0/0", "::/0"] as const;

/** TCP from one to the other; networks on one side, groups on the other or on both. */
export interface Flow {
  readonly from: GroupName | { readonly network: string };
  readonly to: GroupName | { readonly network: string };
  readonly port: number;
  readonly why: string;
}

/** Everything that may be sent: what is not in here is not. */
export function flowsOf({ restricted, registry, network }: AwsSettings): Flow[] {
  const admitted = restricted.admit === "everyone" ? EVERYONE : restricted.admit;
  const outside = (from: GroupName): Flow[] =>
    EVERYONE.flatMap((cidr) => [
      { from, to: { network: cidr }, port: HTTPS, why: "AWS and package mirrors" },
      { from, to: { network: cidr }, port: HTTP, why: "package mirrors" },
    ]);
  return [
    ...EVERYONE.map(
      (cidr): Flow => ({ from: { network: cidr }, to: "register-balancer", port: PORT.register, why: "anyone may register" }),
    ),
    { from: "register-balancer", to: "registry", port: PORT.register, why: "registrations, with their PROXY header" },
    // Each load balancer takes its own family alone: it would put its own address in the place of a client's of the other.
    ...admitted.map(
      (cidr): Flow => ({ from: { network: cidr }, to: serviceGroup(cidr), port: PORT.service, why: "to the gate of each host" }),
    ),
    ...(["service-balancer-ipv4", "service-balancer-ipv6"] as const).flatMap((from): Flow[] => [
      { from, to: "hosts", port: PORT.service, why: "to the gate of each host" },
      { from, to: "hosts", port: PORT.probe, why: "whether the gate stands" },
    ]),
    { from: "hosts", to: "registry", port: PORT.control, why: "the feed" },
    ...outside("registry"),
    ...outside("hosts"),
    ...(network.endpoints.length === 0
      ? []
      : (["registry", "hosts"] as const).map((from): Flow => ({ from, to: "endpoints", port: HTTPS, why: "AWS without the outside" }))),
    ...(registry.replicas > 1 ? [{ from: "registry", to: "database", port: POSTGRES, why: "Storage" } as const] : []),
  ];
}

const serviceGroup = (cidr: string): GroupName => (parsePrefix(cidr).family === 4 ? "service-balancer-ipv4" : "service-balancer-ipv6");

/** Makes the groups that a flow names and both sides of each flow, named by what they say, so that another order changes nothing. */
export function writeGroups(stack: AwsStack, vpcId: string, flows: readonly Flow[]): ReadonlyMap<GroupName, SecurityGroup> {
  const names = (Object.keys(GROUPS) as GroupName[]).filter((name) => flows.some(({ from, to }) => from === name || to === name));
  const groups = new Map(
    names.map((name) => [
      name,
      new SecurityGroup(stack, name, { vpcId, name: stack.named(name), description: GROUPS[name], tags: { Name: stack.named(name) } }),
    ]),
  );
  for (const { from, to, port, why } of flows) {
    const ports = { ipProtocol: "tcp", fromPort: port, toPort: port, description: why };
    if (typeof to === "string") {
      const rule = { securityGroupId: groups.get(to)?.id ?? "", ...ports, ...peer(from, groups) };
      new VpcSecurityGroupIngressRule(stack, `${to}-from-${said(from)}-${port}`, rule);
    }
    if (typeof from === "string") {
      const rule = { securityGroupId: groups.get(from)?.id ?? "", ...ports, ...peer(to, groups) };
      new VpcSecurityGroupEgressRule(stack, `${from}-to-${said(to)}-${port}`, rule);
    }
  }
  return groups;
}

const said = (side: Flow["from"]): string => (typeof side === "string" ? side : side.network.replace(/[^0-9a-f]+/g, "-"));

function peer(side: Flow["from"], groups: ReadonlyMap<GroupName, SecurityGroup>) {
  if (typeof side === "string") return { referencedSecurityGroupId: groups.get(side)?.id ?? "" };
  return parsePrefix(side.network).family === 4 ? { cidrIpv4: side.network } : { cidrIpv6: side.network };
}
