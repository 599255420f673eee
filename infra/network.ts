import { DefaultSecurityGroup } from "@cdktf/provider-aws/lib/default-security-group/index.js";
import { InternetGateway } from "@cdktf/provider-aws/lib/internet-gateway/index.js";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider/index.js";
import { Route } from "@cdktf/provider-aws/lib/route/index.js";
import { RouteTable } from "@cdktf/provider-aws/lib/route-table/index.js";
import { RouteTableAssociation } from "@cdktf/provider-aws/lib/route-table-association/index.js";
import { SecurityGroup } from "@cdktf/provider-aws/lib/security-group/index.js";
import { Subnet } from "@cdktf/provider-aws/lib/subnet/index.js";
import { Vpc } from "@cdktf/provider-aws/lib/vpc/index.js";
import { Fn, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import { keepState } from "./backend.ts";
import { openRules, restrictedRules, writeRules } from "./rules.ts";
import type { Settings } from "./settings.ts";

/** Both zones' networks: who can send a packet to whom, before any host's own gate decides. */
export class NetworkStack extends TerraformStack {
  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id);
    const tags = { Name: id, environment: settings.environment };
    keepState(this, id, settings.environment, settings.backend);
    new AwsProvider(this, "aws", { region: settings.region, defaultTags: [{ tags: { environment: settings.environment } }] });
    const vpc = new Vpc(this, "vpc", {
      cidrBlock: settings.network.cidr,
      assignGeneratedIpv6CidrBlock: true,
      enableDnsHostnames: true,
      tags,
    });
    // Without rules of its own the default group admits its members to each other.
    new DefaultSecurityGroup(this, "default-group", { vpcId: vpc.id, tags });
    this.#subnets(vpc, settings);
    const group = (zone: string) =>
      new SecurityGroup(this, `${zone}-group`, { vpcId: vpc.id, name: `${id}-${zone}`, description: `entityOS ${zone} zone`, tags });
    const [open, restricted] = [group("open"), group("restricted")];
    writeRules(this, open, openRules(restricted.id));
    writeRules(this, restricted, restrictedRules(open.id, restricted.id, settings));
  }

  /** Both zones are reached from outside; which packets, the groups and then each host's gate decide. */
  #subnets(vpc: Vpc, settings: Settings): void {
    const tags = { Name: `${settings.environment}-gate` };
    const gateway = new InternetGateway(this, "internet", { vpcId: vpc.id, tags });
    const table = new RouteTable(this, "routes", { vpcId: vpc.id, tags });
    const outside = { routeTableId: table.id, gatewayId: gateway.id };
    new Route(this, "route-ipv4", { ...outside, destinationCidrBlock: "0.0.0.0/0" });
    new Route(this, "route-ipv6", { ...outside, destinationIpv6CidrBlock: "::/0" });
    const zones = [
      ...settings.network.open.map((subnet, index) => ({ ...subnet, name: `open-${index}`, ipv6Index: index })),
      ...settings.network.restricted.map((subnet, index) => ({ ...subnet, name: `restricted-${index}`, ipv6Index: 128 + index })),
    ];
    for (const { name, cidr, availabilityZone, ipv6Index } of zones) {
      const subnet = new Subnet(this, name, {
        vpcId: vpc.id,
        availabilityZone,
        cidrBlock: cidr,
        ipv6CidrBlock: Fn.cidrsubnet(vpc.ipv6CidrBlock, 8, ipv6Index),
        tags: { Name: `${settings.environment}-${name}` },
      });
      new RouteTableAssociation(this, `${name}-routes`, { subnetId: subnet.id, routeTableId: table.id });
    }
  }
}
