import type { SecurityGroup } from "@cdktf/provider-aws/lib/security-group/index.js";
import { VpcSecurityGroupEgressRule } from "@cdktf/provider-aws/lib/vpc-security-group-egress-rule/index.js";
import { VpcSecurityGroupIngressRule } from "@cdktf/provider-aws/lib/vpc-security-group-ingress-rule/index.js";
import type { Construct } from "constructs";
import { parsePrefix } from "../lib/ip.ts";
import { PORT } from "../lib/service.ts";
import type { Settings } from "./settings.ts";

/** One TCP port between a security group and a peer: a network, or another group's members. */
export interface Rule {
  readonly direction: "in" | "out";
  readonly port: number;
  readonly peer: { readonly cidr: string } | { readonly name: string; readonly groupId: string };
  readonly why: string;
}

const SSH = 22;
const STORAGE = 5432;

/** The open zone: anyone to the register role, and from there only to Storage. */
export function openRules(restrictedId: string): Rule[] {
  return [
    { direction: "in", port: PORT.register, peer: { cidr: "0.0.0.0/0" }, why: "anyone may register" },
    { direction: "in", port: PORT.register, peer: { cidr: "::/0" }, why: "anyone may register" },
    { direction: "out", port: STORAGE, peer: { name: "restricted", groupId: restrictedId }, why: "register writes to Storage" },
  ];
}

/** The restricted zone: named networks to each host's gate, operators, Storage from the open zone, and the feed inside. */
export function restrictedRules(openId: string, restrictedId: string, settings: Pick<Settings, "admit" | "operators">): Rule[] {
  const inside = { name: "restricted", groupId: restrictedId };
  return [
    ...settings.admit.map((cidr): Rule => ({ direction: "in", port: PORT.service, peer: { cidr }, why: "to the host's own gate" })),
    ...settings.operators.flatMap((cidr): Rule[] => [
      { direction: "in", port: PORT.control, peer: { cidr }, why: "operators to control" },
      { direction: "in", port: SSH, peer: { cidr }, why: "operators manage hosts" },
    ]),
    { direction: "in", port: STORAGE, peer: { name: "open", groupId: openId }, why: "register writes to Storage" },
    { direction: "in", port: STORAGE, peer: inside, why: "control to Storage" },
    { direction: "out", port: STORAGE, peer: inside, why: "control to Storage" },
    { direction: "in", port: PORT.control, peer: inside, why: "agents' feed" },
    { direction: "out", port: PORT.control, peer: inside, why: "agents' feed" },
  ];
}

/** Writes the rules as resources whose names follow from what they say, so that a reordered list changes nothing. */
export function writeRules(scope: Construct, group: SecurityGroup, rules: readonly Rule[]): void {
  for (const { direction, port, peer, why } of rules) {
    const named = "cidr" in peer ? peer.cidr.replace(/[^0-9a-f]+/g, "-") : peer.name;
    const id = `${group.node.id}-${direction}-${port}-${named}`;
    const network = "cidr" in peer ? cidrOf(peer.cidr) : { referencedSecurityGroupId: peer.groupId };
    const rule = { securityGroupId: group.id, ipProtocol: "tcp", fromPort: port, toPort: port, description: why, ...network };
    if (direction === "in") new VpcSecurityGroupIngressRule(scope, id, rule);
    else new VpcSecurityGroupEgressRule(scope, id, rule);
  }
}

const cidrOf = (cidr: string) => (parsePrefix(cidr).family === 4 ? { cidrIpv4: cidr } : { cidrIpv6: cidr });
