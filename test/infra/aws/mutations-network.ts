import { DATABASE, HOST, INGRESS, type Mutation, REGISTRY, ref, rule } from "./mutation.ts";

/** Slips about who reaches whom, by the name of their rule. */
export const NETWORK: Readonly<Record<string, readonly Mutation[]>> = {
  "wide-ingress": [
    {
      break: ({ put }) => put("network", INGRESS, "slip", rule("registry", { from_port: 443, to_port: 443, cidr_ipv4: "0.0.0.0/0" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: 0.0.0.0/0 reaches aws_security_group.registry on 443-443"],
    },
    {
      break: ({ put }) => put("network", INGRESS, "slip", rule("register-balancer", { ip_protocol: "-1", cidr_ipv6: "2000::/3" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: 2000::/3 reaches aws_security_group.register-balancer on 0-65535"],
    },
    {
      of: "trial",
      break: ({ put }) =>
        put("network", INGRESS, "slip", rule("service-balancer-ipv4", { from_port: 443, to_port: 443, cidr_ipv4: "0.0.0.0/0" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: 0.0.0.0/0 reaches aws_security_group.service-balancer-ipv4 on 443-443"],
    },
  ],
  "management-open": [
    {
      break: ({ put }) => put("network", INGRESS, "slip", rule("hosts", { from_port: 20, to_port: 25, cidr_ipv4: "198.51.100.0/28" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: port 22 is open"],
    },
    {
      break: ({ resource }) => {
        resource(...HOST).key_name = "alice";
      },
      found: ["restricted aws_instance.web-1: has an SSH key"],
    },
  ],
  "inline-rules": [
    {
      break: ({ resource }) => {
        resource("network", "aws_security_group", "hosts").ingress = [{ from_port: 443 }];
      },
      found: ["network aws_security_group.hosts: has rules of its own"],
    },
    {
      break: ({ put }) => put("network", "aws_default_security_group", "default-group", null),
      found: ["network aws_vpc.vpc: its default group is left as AWS makes it"],
    },
  ],
  "wide-egress": [
    {
      break: ({ resource }) => {
        resource("network", "aws_vpc_security_group_egress_rule", "hosts-to-0-0-0-0-0-443").to_port = 9_000;
      },
      found: ["network aws_vpc_security_group_egress_rule.hosts-to-0-0-0-0-0-443: 0.0.0.0/0 is reached on 443-9000"],
    },
  ],
  "public-address": [
    {
      break: ({ resource }) => {
        delete resource(...REGISTRY).associate_public_ip_address;
      },
      found: ["registry aws_instance.registry: may get a public address"],
    },
    {
      break: ({ resource }) => {
        resource("network", "aws_subnet", "restricted-eu-central-1a").map_public_ip_on_launch = true;
      },
      found: ["network aws_subnet.restricted-eu-central-1a: gives public addresses"],
    },
  ],
  "restricted-routed": [
    {
      break: ({ resource }) => {
        const association = resource("network", "aws_route_table_association", "restricted-eu-central-1a-association");
        association.route_table_id = ref("aws_route_table.open-routes.id");
      },
      found: [
        "network aws_route_table_association.restricted-eu-central-1a-association: aws_subnet.restricted-eu-central-1a is routed to the internet",
      ],
    },
  ],
  "no-flow-logs": [
    {
      break: ({ resource }) => {
        resource("network", "aws_flow_log", "flow-log").traffic_type = "REJECT";
      },
      found: ["network aws_vpc.vpc: its flows are not logged"],
    },
  ],
  "subnet-without-acl": [
    {
      break: ({ resource }) => {
        resource("network", "aws_network_acl", "restricted-acl").subnet_ids = [];
      },
      found: [
        "network aws_subnet.restricted-eu-central-1a: has AWS's own ACL",
        "network aws_subnet.restricted-eu-central-1b: has AWS's own ACL",
      ],
    },
    {
      break: ({ resource }) => {
        const entry = resource("network", "aws_network_acl_rule", "open-acl-in-answers-ipv4");
        entry.protocol = "-1";
      },
      found: ["network aws_network_acl_rule.open-acl-in-answers-ipv4: 0.0.0.0/0 is admitted to everything"],
    },
  ],
  "public-database": [
    {
      of: "replicas",
      break: ({ resource }) => {
        resource(...DATABASE).publicly_accessible = true;
      },
      found: ["database aws_db_instance.database: may be reached from outside"],
    },
    {
      of: "replicas",
      break: ({ put }) => put("network", INGRESS, "slip", rule("database", { from_port: 5432, to_port: 5432, cidr_ipv4: "10.20.0.0/16" })),
      found: ["network aws_vpc_security_group_ingress_rule.slip: admits others than the registry"],
    },
  ],
  "client-address-lost": [
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb_target_group", "service-ipv4-targets").preserve_client_ip = "false";
      },
      found: [
        "restricted aws_lb_target_group.service-ipv4-targets: passes no client's address",
        "restricted aws_lb_target_group.service-ipv4-targets: gives the gate packets of the load balancer",
      ],
    },
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb_target_group", "service-ipv4-targets").proxy_protocol_v2 = true;
      },
      found: ["restricted aws_lb_target_group.service-ipv4-targets: passes addresses in two ways"],
    },
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb", "service-ipv4").ip_address_type = "dualstack";
      },
      found: [
        "restricted aws_lb_target_group.service-ipv4-targets: is IPv4 behind a load balancer that takes IPv6 too, whose clients would lose their address",
      ],
    },
    {
      break: ({ put }) =>
        put("network", INGRESS, "slip", rule("service-balancer-ipv6", { from_port: 443, to_port: 443, cidr_ipv4: "203.0.113.0/24" })),
      found: [
        "restricted aws_lb_target_group.service-ipv6-targets: is IPv6 behind a load balancer that admits IPv4, whose clients would lose their address",
      ],
    },
    {
      break: ({ resource }) => {
        resource("registry", "aws_lb_target_group", "register-targets").proxy_protocol_v2 = false;
      },
      found: ["registry aws_lb_target_group.register-targets: passes no client's address"],
    },
    {
      break: ({ resource }) => {
        resource("restricted", "aws_lb_listener", "service-ipv4-listener").protocol = "TLS";
        resource("restricted", "aws_lb", "service-ipv6").load_balancer_type = "application";
      },
      found: [
        "restricted aws_lb_target_group.service-ipv4-targets: is behind TLS, which ends the client's connection",
        "restricted aws_lb_target_group.service-ipv6-targets: is not behind a network load balancer",
      ],
    },
  ],
};
