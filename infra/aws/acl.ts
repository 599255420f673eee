import { NetworkAcl } from "@cdktf/provider-aws/lib/network-acl/index.js";
import { NetworkAclRule } from "@cdktf/provider-aws/lib/network-acl-rule/index.js";
import type { Subnet } from "@cdktf/provider-aws/lib/subnet/index.js";
import type { Vpc } from "@cdktf/provider-aws/lib/vpc/index.js";
import { parsePrefix } from "../../lib/ip.ts";
import { PORT } from "../../lib/service.ts";
import type { AwsStack } from "./stack.ts";

/** Where answers to what hosts, NAT gateways and load balancers asked for come back to. */
const ANSWERS = { fromPort: 1024, toPort: 65_535 };
const OUTWARD = [80, 443];
const EVERYONE = ["0.0.0.0/0", "::/0"] as const;
/** An ACL takes 20 rules in a direction by default (AWS's quotas of a VPC), and four are for other things. */
const MAX_NETWORKS = 16;

/**
 * The second line behind the groups, without memory: inside everything, from outside the service and answers. Client addresses pass
 * the load balancers, so the restricted zone sees them here too. More networks than an ACL takes are left to the groups.
 */
export function writeAcl(stack: AwsStack, name: string, vpc: Vpc, subnets: readonly Subnet[], admitted: readonly string[]): void {
  const acl = new NetworkAcl(stack, `${name}-acl`, {
    vpcId: vpc.id,
    subnetIds: subnets.map(({ id }) => id),
    tags: { Name: stack.named(name) },
  });
  let number = 100;
  const rule = (egress: boolean, { family, cidr }: Network, ports: { fromPort: number; toPort: number } | null, said: string) => {
    new NetworkAclRule(stack, `${name}-acl-${egress ? "out" : "in"}-${said}`, {
      networkAclId: acl.id,
      ruleNumber: number++,
      egress,
      ruleAction: "allow",
      ...(ports === null ? { protocol: "-1" } : { protocol: "tcp", ...ports }),
      ...(family === 6 ? { ipv6CidrBlock: cidr } : { cidrBlock: cidr }),
    });
  };
  const one = (port: number) => ({ fromPort: port, toPort: port });
  for (const egress of [false, true]) {
    // What AWS assigns tells no family by its text: it is a reference.
    rule(egress, { family: 4, cidr: vpc.cidrBlock }, null, "inside-ipv4");
    rule(egress, { family: 6, cidr: vpc.ipv6CidrBlock }, null, "inside-ipv6");
    for (const network of EVERYONE.map(networkOf)) {
      rule(egress, network, ANSWERS, `answers-ipv${network.family}`);
      if (egress) for (const port of OUTWARD) rule(true, network, one(port), `${port}-ipv${network.family}`);
    }
  }
  const named = admitted.length > MAX_NETWORKS ? EVERYONE : admitted;
  for (const [index, cidr] of named.entries()) rule(false, networkOf(cidr), one(PORT.service), `service-${index}`);
}

interface Network {
  readonly family: 4 | 6;
  readonly cidr: string;
}

const networkOf = (cidr: string): Network => ({ family: parsePrefix(cidr).family, cidr });
