import type { AwsSettings } from "../../form.ts";
import { type Cast, type Casting, cast, encryptionKey, group, kept, type Member, ref, role, subnet, subnets, VPC } from "./member.ts";

const inVpc: Member = { vpc_id: VPC, tags: null };
const securityRule: Member = {
  cidr_ipv4: null,
  cidr_ipv6: null,
  description: null,
  from_port: null,
  ip_protocol: null,
  referenced_security_group_id: null,
  security_group_id: null,
  to_port: null,
};

export const networkCast: Casting = (settings) => ({
  "aws_vpc.vpc": {
    assign_generated_ipv6_cidr_block: "true",
    cidr_block: settings.network.cidr,
    enable_dns_hostnames: "true",
    tags: null,
  },
  "aws_internet_gateway.internet": inVpc,
  "aws_egress_only_internet_gateway.outward": inVpc,
  "aws_default_security_group.default-group": inVpc,
  ...cast(groupsOf(settings), (name) => ({ [`aws_security_group.${name}`]: { ...inVpc, description: null, name: null } })),
  "aws_vpc_security_group_ingress_rule.*": securityRule,
  "aws_vpc_security_group_egress_rule.*": securityRule,
  ...cast(["open", "restricted"] as const, (kind) => ({
    [`aws_network_acl.${kind}-acl`]: { ...inVpc, subnet_ids: subnets(kind, settings) },
  })),
  "aws_network_acl_rule.*": {
    cidr_block: null,
    egress: null,
    from_port: null,
    ipv6_cidr_block: null,
    network_acl_id: null,
    protocol: null,
    rule_action: null,
    rule_number: null,
    to_port: null,
  },
  ...routes(settings),
  ...endpoints(settings),
  ...role("network", "flows", "write"),
  "aws_kms_key.flows-key": { ...encryptionKey, ...kept(settings) },
  "aws_cloudwatch_log_group.flows": {
    kms_key_id: ref("network aws_kms_key.flows-key.arn"),
    name: null,
    retention_in_days: String(settings.network.flowLogDays),
    ...kept(settings),
  },
  "aws_flow_log.flow-log": {
    ...inVpc,
    iam_role_arn: ref("network aws_iam_role.flows-role.arn"),
    log_destination: ref("network aws_cloudwatch_log_group.flows.arn"),
    max_aggregation_interval: "60",
    traffic_type: "ALL",
  },
});

/** Security groups that the settings need. */
const groupsOf = ({ network, registry }: AwsSettings): string[] => [
  "register-balancer",
  "service-balancer-ipv4",
  "service-balancer-ipv6",
  "registry",
  "hosts",
  ...(network.endpoints.length > 0 ? ["endpoints"] : []),
  ...(registry.replicas > 1 ? ["database"] : []),
];

/** The open zone's table leads to the internet; each of the restricted zone's to a NAT gateway and outward alone. */
function routes({ network }: AwsSettings): Cast {
  const own = network.nat === "per-zone" ? network.zones : network.zones.slice(0, 1);
  const tableOf = (zone: string): string => {
    const { name } = own.find(({ name }) => name === zone) ?? own[0] ?? { name: "" };
    return ref(`network aws_route_table.restricted-${name}-routes.id`);
  };
  const open = ref("network aws_route_table.open-routes.id");
  const internet = { route_table_id: open, gateway_id: ref("network aws_internet_gateway.internet.id") };
  const association = (kind: "open" | "restricted", zone: string, table: string): Cast => ({
    [`aws_route_table_association.${kind}-${zone}-association`]: { route_table_id: table, subnet_id: subnet(kind, zone) },
  });
  return {
    "aws_route_table.open-routes": inVpc,
    "aws_route.open-ipv4": { ...internet, destination_cidr_block: "0.0.0.0/0" },
    "aws_route.open-ipv6": { ...internet, destination_ipv6_cidr_block: "::/0" },
    ...cast(own, ({ name }) => ({
      [`aws_eip.nat-${name}-address`]: { domain: "vpc", tags: null },
      [`aws_nat_gateway.nat-${name}`]: {
        allocation_id: ref(`network aws_eip.nat-${name}-address.id`),
        depends_on: ["aws_internet_gateway.internet"],
        subnet_id: subnet("open", name),
        tags: null,
      },
      [`aws_route_table.restricted-${name}-routes`]: inVpc,
      [`aws_route.restricted-${name}-ipv4`]: {
        route_table_id: tableOf(name),
        nat_gateway_id: ref(`network aws_nat_gateway.nat-${name}.id`),
        destination_cidr_block: "0.0.0.0/0",
      },
      [`aws_route.restricted-${name}-ipv6`]: {
        route_table_id: tableOf(name),
        egress_only_gateway_id: ref("network aws_egress_only_internet_gateway.outward.id"),
        destination_ipv6_cidr_block: "::/0",
      },
    })),
    ...cast([...network.zones.entries()], ([index, zone]) => ({
      ...subnetOf("open", zone.name, zone.open, index),
      ...subnetOf("restricted", zone.name, zone.restricted, 128 + index),
      ...association("open", zone.name, open),
      ...association("restricted", zone.name, tableOf(zone.name)),
      [`aws_ec2_subnet_cidr_reservation.reserved-${zone.name}`]: {
        cidr_block: null,
        description: null,
        reservation_type: "explicit",
        subnet_id: subnet("restricted", zone.name),
      },
    })),
  };
}

const subnetOf = (kind: "open" | "restricted", zone: string, cidr: string, index: number): Cast => ({
  [`aws_subnet.${kind}-${zone}`]: {
    ...inVpc,
    availability_zone: zone,
    cidr_block: cidr,
    ipv6_cidr_block: ref(`cidrsubnet(network aws_vpc.vpc.ipv6_cidr_block, 8, ${index})`),
    map_public_ip_on_launch: "false",
  },
});

function endpoints(settings: AwsSettings): Cast {
  const { region, network } = settings;
  const own = network.nat === "per-zone" ? network.zones : network.zones.slice(0, 1);
  return {
    "aws_vpc_endpoint.endpoint-s3": {
      ...inVpc,
      policy: null,
      route_table_ids: own.map(({ name }) => ref(`network aws_route_table.restricted-${name}-routes.id`)),
      service_name: `com.amazonaws.${region}.s3`,
      vpc_endpoint_type: "Gateway",
    },
    ...cast(network.endpoints, (name) => ({
      [`aws_vpc_endpoint.endpoint-${name}`]: {
        ...inVpc,
        depends_on: null,
        policy: null,
        private_dns_enabled: "true",
        security_group_ids: [group("endpoints")],
        service_name: `com.amazonaws.${region}.${name}`,
        subnet_ids: subnets("restricted", settings),
        vpc_endpoint_type: "Interface",
      },
    })),
  };
}
