import { DefaultSecurityGroup } from "@cdktf/provider-aws/lib/default-security-group/index.js";
import { Ec2SubnetCidrReservation } from "@cdktf/provider-aws/lib/ec2-subnet-cidr-reservation/index.js";
import { EgressOnlyInternetGateway } from "@cdktf/provider-aws/lib/egress-only-internet-gateway/index.js";
import { Eip } from "@cdktf/provider-aws/lib/eip/index.js";
import { InternetGateway } from "@cdktf/provider-aws/lib/internet-gateway/index.js";
import { NatGateway } from "@cdktf/provider-aws/lib/nat-gateway/index.js";
import { Route } from "@cdktf/provider-aws/lib/route/index.js";
import { RouteTable } from "@cdktf/provider-aws/lib/route-table/index.js";
import { RouteTableAssociation } from "@cdktf/provider-aws/lib/route-table-association/index.js";
import type { SecurityGroup } from "@cdktf/provider-aws/lib/security-group/index.js";
import { Subnet } from "@cdktf/provider-aws/lib/subnet/index.js";
import { Vpc } from "@cdktf/provider-aws/lib/vpc/index.js";
import { Fn } from "cdktf";
import type { Construct } from "constructs";
import { parsePrefix } from "../../lib/ip.ts";
import { writeAcl } from "./acl.ts";
import { writeEndpoints } from "./endpoints.ts";
import { writeFlowLogs } from "./flow-logs.ts";
import type { AwsSettings } from "./form.ts";
import { flowsOf, type GroupName, writeGroups } from "./groups.ts";
import { AwsStack } from "./stack.ts";

/** Length of the block that is kept for named addresses: the second one of its size, for AWS keeps addresses of the first itself. */
const RESERVED_LENGTH = 28;

type Zone = AwsSettings["network"]["zones"][number];

/** Both zones' networks: who can send a packet to whom, before any host's own gate decides. */
export class NetworkStack extends AwsStack {
  readonly vpc: Vpc;
  /** By availability zone. */
  readonly open = new Map<string, Subnet>();
  readonly restricted = new Map<string, Subnet>();
  readonly #reserved: Ec2SubnetCidrReservation[] = [];
  readonly #groups: ReadonlyMap<GroupName, SecurityGroup>;

  constructor(scope: Construct, settings: AwsSettings) {
    super(scope, "network", settings);
    this.vpc = new Vpc(this, "vpc", {
      cidrBlock: settings.network.cidr,
      assignGeneratedIpv6CidrBlock: true,
      enableDnsHostnames: true,
      tags: { Name: this.named("gate") },
    });
    // Without rules of its own the default group admits its members to each other.
    new DefaultSecurityGroup(this, "default-group", { vpcId: this.vpc.id, tags: { Name: this.named("unused") } });
    const tables = this.#routes(settings);
    this.#groups = writeGroups(this, this.vpc.id, flowsOf(settings));
    writeAcl(this, "open", this.vpc, [...this.open.values()], ["0.0.0.0/0", "::/0"]);
    const admitted = settings.restricted.admit === "everyone" ? ["0.0.0.0/0", "::/0"] : settings.restricted.admit;
    writeAcl(this, "restricted", this.vpc, [...this.restricted.values()], admitted);
    const subnets = [...this.restricted.values()];
    writeEndpoints(this, {
      vpc: this.vpc,
      tables,
      subnets,
      group: this.#groups.get("endpoints"),
      names: settings.network.endpoints,
      after: this.#reserved,
    });
    writeFlowLogs(this, this.vpc, settings.network.flowLogDays);
  }

  /** @throws RangeError for a group that no flow of these settings names */
  group(name: GroupName): SecurityGroup {
    const group = this.#groups.get(name);
    if (group === undefined) throw new RangeError(`There is no group ${name} in ${this.settings.environment}`);
    return group;
  }

  /** The open zone is reached from outside; the restricted one reaches out, over NAT and an egress-only gateway. @returns its tables */
  #routes({ network }: AwsSettings): RouteTable[] {
    const vpcId = this.vpc.id;
    const internet = new InternetGateway(this, "internet", { vpcId, tags: { Name: this.named("internet") } });
    const outward = new EgressOnlyInternetGateway(this, "outward", { vpcId, tags: { Name: this.named("outward") } });
    const open = this.#table("open");
    new Route(this, "open-ipv4", { routeTableId: open.id, gatewayId: internet.id, destinationCidrBlock: "0.0.0.0/0" });
    new Route(this, "open-ipv6", { routeTableId: open.id, gatewayId: internet.id, destinationIpv6CidrBlock: "::/0" });
    const gateways: NatGateway[] = [];
    const tables: RouteTable[] = [];
    for (const [index, zone] of network.zones.entries()) {
      this.#subnet("open", zone, index, open);
      const own = network.nat === "per-zone" || index === 0;
      if (own) gateways.push(this.#nat(zone, internet));
      const gateway = gateways.at(-1);
      if (!own || gateway === undefined) {
        this.#subnet("restricted", zone, 128 + index, tables[0] ?? open);
        continue;
      }
      const table = this.#table(`restricted-${zone.name}`);
      const outside = { routeTableId: table.id };
      new Route(this, `restricted-${zone.name}-ipv4`, { ...outside, natGatewayId: gateway.id, destinationCidrBlock: "0.0.0.0/0" });
      new Route(this, `restricted-${zone.name}-ipv6`, { ...outside, egressOnlyGatewayId: outward.id, destinationIpv6CidrBlock: "::/0" });
      this.#subnet("restricted", zone, 128 + index, table);
      tables.push(table);
    }
    return tables;
  }

  #table(name: string): RouteTable {
    return new RouteTable(this, `${name}-routes`, { vpcId: this.vpc.id, tags: { Name: this.named(name) } });
  }

  #subnet(kind: "open" | "restricted", zone: Zone, ipv6Index: number, table: RouteTable): void {
    const id = `${kind}-${zone.name}`;
    const subnet = new Subnet(this, id, {
      vpcId: this.vpc.id,
      availabilityZone: zone.name,
      cidrBlock: zone[kind],
      ipv6CidrBlock: Fn.cidrsubnet(this.vpc.ipv6CidrBlock, 8, ipv6Index),
      mapPublicIpOnLaunch: false,
      tags: { Name: this.named(id) },
    });
    new RouteTableAssociation(this, `${id}-association`, { subnetId: subnet.id, routeTableId: table.id });
    this[kind].set(zone.name, subnet);
    if (kind === "restricted") this.#reserve(subnet, zone);
  }

  /** The registry's address is always the same, so nothing that AWS picks an address for may get it first. */
  #reserve(subnet: Subnet, zone: Zone): void {
    const reserved = new Ec2SubnetCidrReservation(this, `reserved-${zone.name}`, {
      subnetId: subnet.id,
      cidrBlock: Fn.cidrsubnet(zone.restricted, RESERVED_LENGTH - parsePrefix(zone.restricted).length, 1),
      reservationType: "explicit",
      description: "addresses that are named, not picked",
    });
    this.#reserved.push(reserved);
  }

  /** In a network without an internet gateway AWS makes none: nothing else would say that the gateway comes first. */
  #nat(zone: Zone, internet: InternetGateway): NatGateway {
    const tags = { Name: this.named(`nat-${zone.name}`) };
    const address = new Eip(this, `nat-${zone.name}-address`, { domain: "vpc", tags });
    return new NatGateway(this, `nat-${zone.name}`, {
      allocationId: address.id,
      subnetId: this.open.get(zone.name)?.id ?? "",
      tags,
      dependsOn: [internet],
    });
  }
}
