import { parsePrefix } from "../../../lib/ip.ts";
import { block, type Json, list, type Resource, references, referred, resourcesOf, type Synthesis } from "../synthesis.ts";
import { at, each, type Forbidden } from "./rule.ts";

/** Networks as wide as this are everyone. */
const WIDE = { 4: 8, 6: 16 } as const;
const MANAGEMENT = [22, 3389, 5985, 5986];
const OUTWARD = [80, 443];
const SERVICE = 443;

const ingress = (synthesis: Synthesis): Resource[] => resourcesOf(synthesis, "aws_vpc_security_group_ingress_rule");

function isWide(cidr: Json | undefined): boolean {
  if (typeof cidr !== "string" || cidr.includes("$")) return false;
  const { family, length } = parsePrefix(cidr);
  return length <= WIDE[family];
}

function portsOf({ fields }: Resource): readonly [number, number] {
  return fields.ip_protocol === "-1" ? [0, 65_535] : [Number(fields.from_port), Number(fields.to_port)];
}

const opens = (rule: Resource, port: number): boolean => {
  const [from, to] = portsOf(rule);
  return from <= port && port <= to;
};

const wideIngress: Forbidden = {
  name: "wide-ingress",
  why: "everyone reaches 443 of register's load balancer and, where no networks are named, of the service's; nothing else",
  look: (synthesis) =>
    each(ingress(synthesis), (rule) => {
      const { cidr_ipv4, cidr_ipv6, security_group_id } = rule.fields;
      const cidr = cidr_ipv4 ?? cidr_ipv6;
      if (!isWide(cidr)) return null;
      const group = referred(security_group_id);
      const allowed = ["aws_security_group.register-balancer"];
      if (synthesis.settings.restricted.admit === "everyone")
        allowed.push("aws_security_group.service-balancer-ipv4", "aws_security_group.service-balancer-ipv6");
      const [from, to] = portsOf(rule);
      return group !== null && allowed.includes(group) && from === SERVICE && to === SERVICE
        ? null
        : `${cidr} reaches ${group} on ${from}-${to}`;
    }),
};

const managementOpen: Forbidden = {
  name: "management-open",
  why: "operators come by Session Manager: no port for SSH or a desktop is open to anybody, and no key is known",
  look: (synthesis) => [
    ...each(ingress(synthesis), (rule) => {
      const port = MANAGEMENT.find((one) => opens(rule, one));
      return port === undefined ? null : `port ${port} is open`;
    }),
    ...each(resourcesOf(synthesis, "aws_instance", "aws_launch_template"), ({ fields }) => "key_name" in fields && "has an SSH key"),
    ...resourcesOf(synthesis, "aws_key_pair").map((key) => at(key, "is an SSH key")),
  ],
};

const inlineRules: Forbidden = {
  name: "inline-rules",
  why: "rules stand in resources of their own, so that none is missed; the default group of a network has none",
  look: (synthesis) => {
    const kept = new Set(resourcesOf(synthesis, "aws_default_security_group").map(({ fields }) => referred(fields.vpc_id)));
    return [
      ...each(resourcesOf(synthesis, "aws_security_group", "aws_default_security_group"), ({ fields }) =>
        "ingress" in fields || "egress" in fields ? "has rules of its own" : null,
      ),
      ...resourcesOf(synthesis, "aws_security_group_rule").map((rule) => at(rule, "is a rule of the old kind")),
      ...each(
        resourcesOf(synthesis, "aws_vpc"),
        ({ type, id }) => !kept.has(`${type}.${id}`) && "its default group is left as AWS makes it",
      ),
    ];
  },
};

const wideEgress: Forbidden = {
  name: "wide-egress",
  why: "hosts reach everyone on 80 and 443 alone, for packages and AWS",
  look: (synthesis) =>
    each(resourcesOf(synthesis, "aws_vpc_security_group_egress_rule"), (rule) => {
      const cidr = rule.fields.cidr_ipv4 ?? rule.fields.cidr_ipv6;
      const [from, to] = portsOf(rule);
      return isWide(cidr) && !(from === to && OUTWARD.includes(from)) ? `${cidr} is reached on ${from}-${to}` : null;
    }),
};

const publicAddress: Forbidden = {
  name: "public-address",
  why: "load balancers and NAT gateways alone have addresses of the outside",
  look: (synthesis) => [
    ...each(
      resourcesOf(synthesis, "aws_instance"),
      ({ fields }) => fields.associate_public_ip_address !== false && "may get a public address",
    ),
    ...each(resourcesOf(synthesis, "aws_subnet"), ({ fields }) => fields.map_public_ip_on_launch !== false && "gives public addresses"),
    ...each(
      resourcesOf(synthesis, "aws_eip"),
      ({ fields }) => ("instance" in fields || "network_interface" in fields) && "is of an instance",
    ),
  ],
};

const restrictedRouted: Forbidden = {
  name: "restricted-routed",
  why: "the restricted zone has no way in from outside: no route to an internet gateway",
  look: (synthesis) => {
    const outside = resourcesOf(synthesis, "aws_route")
      .filter(({ fields }) => "gateway_id" in fields)
      .map(({ fields }) => referred(fields.route_table_id));
    return each(resourcesOf(synthesis, "aws_route_table_association"), ({ fields }) => {
      const [subnet, table] = [referred(fields.subnet_id), referred(fields.route_table_id)];
      return subnet?.startsWith("aws_subnet.restricted-") && outside.includes(table) ? `${subnet} is routed to the internet` : null;
    });
  },
};

const flowLogs: Forbidden = {
  name: "no-flow-logs",
  why: "every flow of a network is logged, refused ones too",
  look: (synthesis) => {
    const logged = new Set(
      resourcesOf(synthesis, "aws_flow_log")
        .filter(({ fields }) => fields.traffic_type === "ALL")
        .map(({ fields }) => referred(fields.vpc_id)),
    );
    return each(resourcesOf(synthesis, "aws_vpc"), ({ type, id }) => !logged.has(`${type}.${id}`) && "its flows are not logged");
  },
};

const withoutAcl: Forbidden = {
  name: "subnet-without-acl",
  why: "every subnet has a network ACL of ours, and none admits everything from everyone",
  look: (synthesis) => {
    const covered = new Set(resourcesOf(synthesis, "aws_network_acl").flatMap(({ fields }) => list(fields.subnet_ids).map(referred)));
    return [
      ...each(resourcesOf(synthesis, "aws_subnet"), ({ type, id }) => !covered.has(`${type}.${id}`) && "has AWS's own ACL"),
      ...each(resourcesOf(synthesis, "aws_network_acl_rule"), ({ fields }) => {
        const cidr = fields.cidr_block ?? fields.ipv6_cidr_block;
        return fields.egress === false && fields.rule_action === "allow" && fields.protocol === "-1" && isWide(cidr)
          ? `${cidr} is admitted to everything`
          : null;
      }),
    ];
  },
};

const publicDatabase: Forbidden = {
  name: "public-database",
  why: "Storage is reached from the registry alone",
  look: (synthesis) => [
    ...each(
      resourcesOf(synthesis, "aws_db_instance"),
      ({ fields }) => fields.publicly_accessible !== false && "may be reached from outside",
    ),
    ...each(ingress(synthesis), (rule) =>
      referred(rule.fields.security_group_id) === "aws_security_group.database" &&
      referred(rule.fields.referenced_security_group_id) !== "aws_security_group.registry"
        ? "admits others than the registry"
        : null,
    ),
  ],
};

/** The one listener that forwards to each group of targets, and the load balancer that it is of. */
function pathsTo(synthesis: Synthesis, targets: Resource) {
  return resourcesOf(synthesis, "aws_lb_listener")
    .filter(
      ({ part, fields }) =>
        part === targets.part && referred(block(fields.default_action).target_group_arn) === `${targets.type}.${targets.id}`,
    )
    .map((listener) => {
      const name = referred(listener.fields.load_balancer_arn);
      return {
        listener,
        lb: resourcesOf(synthesis, "aws_lb").find(({ part, type, id }) => part === targets.part && `${type}.${id}` === name),
      };
    });
}

function admitsIpv4(synthesis: Synthesis, lb: Resource): boolean {
  const groups = references(synthesis, lb.fields.security_groups).map((reference) => reference.replace(/\.id$/, ""));
  return ingress(synthesis).some(({ fields }) => "cidr_ipv4" in fields && groups.includes(referred(fields.security_group_id) ?? ""));
}

const clientLost: Forbidden = {
  name: "client-address-lost",
  why: "the gate decides by the source of packets, register by it or a PROXY header: no load balancer may put its own in the place",
  look: (synthesis) =>
    resourcesOf(synthesis, "aws_lb_target_group").flatMap((targets) => {
      const { protocol, preserve_client_ip, proxy_protocol_v2, ip_address_type, target_type } = targets.fields;
      const wrong: string[] = [];
      const preserved = preserve_client_ip === "true";
      if (protocol !== "TCP") wrong.push(`speaks ${protocol}, not TCP`);
      if (preserved === (proxy_protocol_v2 === true)) wrong.push(preserved ? "passes addresses in two ways" : "passes no client's address");
      if (!preserved && targets.part === "restricted") wrong.push("gives the gate packets of the load balancer");
      if (preserved && ip_address_type === "ipv6" && target_type !== "ip") wrong.push("has instances as targets, which are IPv4");
      const paths = pathsTo(synthesis, targets);
      if (paths.length === 0) wrong.push("has no listener");
      for (const { listener, lb } of paths) {
        if (listener.fields.protocol !== "TCP") wrong.push(`is behind ${listener.fields.protocol}, which ends the client's connection`);
        if (lb?.fields.load_balancer_type !== "network") wrong.push("is not behind a network load balancer");
        if (preserved && ip_address_type === "ipv4" && lb?.fields.ip_address_type !== "ipv4")
          wrong.push("is IPv4 behind a load balancer that takes IPv6 too, whose clients would lose their address");
        if (preserved && ip_address_type === "ipv6" && lb !== undefined && admitsIpv4(synthesis, lb))
          wrong.push("is IPv6 behind a load balancer that admits IPv4, whose clients would lose their address");
      }
      return wrong.map((what) => at(targets, what));
    }),
};

export const NETWORK: readonly Forbidden[] = [
  wideIngress,
  managementOpen,
  inlineRules,
  wideEgress,
  publicAddress,
  restrictedRouted,
  flowLogs,
  withoutAcl,
  publicDatabase,
  clientLost,
];
