import { HOST, INGRESS, type Mutation, REGISTRY, ref, rule } from "./mutation.ts";

const EGRESS = "aws_vpc_security_group_egress_rule";
const ENTRY = "aws_network_acl_rule";
const entry = (acl: string, more: Readonly<Record<string, string | number | boolean>>) => ({
  network_acl_id: ref(`aws_network_acl.${acl}.id`),
  rule_number: 50,
  egress: false,
  rule_action: "allow",
  protocol: "tcp",
  ...more,
});

/** Packets that nobody asked for, and configurations that let them in, by the name of the rule. */
export const FLOWS: Readonly<Record<string, readonly Mutation[]>> = {
  "unlisted-flow": [
    {
      break: ({ put }) => {
        const port = (one: number) => ({ from_port: one, to_port: one });
        put("network", INGRESS, "list", rule("registry", { ...port(8444), prefix_list_id: "pl-0fedcba9876543210" }));
        put(
          "network",
          INGRESS,
          "group",
          rule("registry", { ...port(8444), referenced_security_group_id: "999988887777/sg-0fedcba9876543210" }),
        );
        put("network", INGRESS, "narrow", rule("hosts", { ...port(443), cidr_ipv4: "198.51.100.7/32" }));
        put("network", INGRESS, "wide", rule("service-balancer-ipv6", { ...port(443), cidr_ipv6: "2000::/4" }));
        put(
          "network",
          INGRESS,
          "probe",
          rule("hosts", { ...port(8440), referenced_security_group_id: ref("aws_security_group.registry.id") }),
        );
        put("network", INGRESS, "two", rule("register-balancer", { from_port: 443, to_port: 444, cidr_ipv4: "0.0.0.0/0" }));
        put("network", INGRESS, "udp", rule("register-balancer", { ...port(443), ip_protocol: "udp", cidr_ipv4: "0.0.0.0/0" }));
        put("network", EGRESS, "out", rule("hosts", { ip_protocol: "-1", cidr_ipv4: "203.0.113.9/32" }));
      },
      found: [
        `${INGRESS}.list: nobody → registry 8444`,
        `${INGRESS}.group: 999988887777/sg-0fedcba9876543210 → registry 8444`,
        `${INGRESS}.narrow: 198.51.100.7/32 → hosts 443`,
        `${INGRESS}.wide: 2000::/4 → service-balancer-ipv6 443`,
        `${INGRESS}.probe: registry → hosts 8440`,
        `${INGRESS}.two: 0.0.0.0/0 → register-balancer 443-444`,
        `${INGRESS}.udp: 0.0.0.0/0 → register-balancer protocol udp`,
        `${EGRESS}.out: hosts → 203.0.113.9/32 protocol -1`,
      ].map((found) => `network ${found}`),
    },
    {
      break: ({ put }) => {
        put("network", INGRESS, "registry-from-hosts-8444", null);
        put("network", EGRESS, "service-balancer-ipv6-to-hosts-8440", null);
      },
      found: [`network ${INGRESS}: hosts → registry 8444 is missing`, `network ${EGRESS}: service-balancer-ipv6 → hosts 8440 is missing`],
    },
  ],
  "unlisted-acl-entry": [
    {
      break: ({ put, resource }) => {
        put("network", ENTRY, "ssh", entry("restricted-acl", { cidr_block: "0.0.0.0/0", from_port: 22, to_port: 22 }));
        put("network", ENTRY, "ipv6", entry("restricted-acl", { ipv6_cidr_block: "2000::/3", protocol: "-1" }));
        put("network", ENTRY, "closed", entry("open-acl", { cidr_block: "0.0.0.0/0", rule_action: "deny", from_port: 443, to_port: 443 }));
        resource("network", "aws_network_acl", "open-acl").subnet_ids = [ref("aws_subnet.restricted-eu-central-1a.id")];
      },
      found: [
        `network ${ENTRY}.ssh: in 0.0.0.0/0 22-22 of restricted`,
        `network ${ENTRY}.ipv6: in 2000::/3 everything of restricted`,
        `network ${ENTRY}.closed: deny in 0.0.0.0/0 443-443 of open`,
        `network aws_network_acl.open-acl: has ${ref("network aws_subnet.restricted-eu-central-1a.id")}`,
      ],
    },
    {
      of: "trial",
      break: ({ resource }) => {
        resource("network", ENTRY, "restricted-acl-in-service-0").cidr_block = "203.0.112.0/20";
      },
      found: [
        `network ${ENTRY}.restricted-acl-in-service-0: in 203.0.112.0/20 443-443 of restricted`,
        `network ${ENTRY}: restricted: in 203.0.113.0/24 443-443 is missing`,
      ],
    },
    {
      break: ({ put }) => {
        put("network", ENTRY, "open-acl-out-answers-ipv6", null);
        put("network", ENTRY, "restricted-acl-in-inside-ipv4", null);
      },
      found: [
        `network ${ENTRY}: open: out ::/0 1024-65535 is missing`,
        `network ${ENTRY}: restricted: in ${ref("network aws_vpc.vpc.cidr_block")} everything is missing`,
      ],
    },
  ],
  "wrong-family": [
    {
      break: ({ resource, put }) => {
        const inside = resource("network", ENTRY, "open-acl-in-inside-ipv6");
        inside.cidr_block = inside.ipv6_cidr_block ?? "";
        delete inside.ipv6_cidr_block;
        put("network", INGRESS, "slip", rule("service-balancer-ipv4", { from_port: 443, to_port: 443, cidr_ipv4: "::/0" }));
      },
      found: [
        `network ${ENTRY}.open-acl-in-inside-ipv6: ${ref("network aws_vpc.vpc.ipv6_cidr_block")} is not IPv4`,
        `network ${INGRESS}.slip: ::/0 is not IPv4`,
      ],
    },
  ],
  "gate-opened": [
    {
      break: ({ resource }) => {
        const host = resource(...HOST);
        host.user_data = String(host.user_data)
          .replace("networks: []", "networks: [203.0.113.9/32]")
          .replace("roaming: false", "roaming: true")
          .replace("- 10.20.1.0/24", "- 10.20.0.0/16");
        const registry = resource(...REGISTRY);
        registry.user_data = String(registry.user_data).replace("- 10.20.1.0/24", "- 0.0.0.0/0");
      },
      found: [
        'restricted aws_instance.web-1: /etc/entityos-agent/agent.yaml says gate.lanes: {"ip":true,"ipcert":true,"roaming":true}',
        'restricted aws_instance.web-1: /etc/entityos-agent/agent.yaml says gate.management: {"networks":["203.0.113.9/32"]}',
        `restricted aws_instance.web-1: /etc/entityos-agent/agent.yaml says gate.probe: {"networks":["10.20.0.0/24","10.20.0.0/16","${ref("network aws_subnet.open-eu-central-1a.ipv6_cidr_block")}","${ref("network aws_subnet.open-eu-central-1b.ipv6_cidr_block")}"]}`,
        'registry aws_instance.registry: /etc/entityos-registry/registry.yaml says register.proxies: ["10.20.0.0/24","0.0.0.0/0"]',
      ],
    },
    {
      break: ({ resource }) => {
        const host = resource(...HOST);
        host.user_data = String(host.user_data).replaceAll("/etc/entityos-agent/agent.yaml", "/etc/entityos-agent/other.yaml");
      },
      found: ["restricted aws_instance.web-1: gets no /etc/entityos-agent/agent.yaml"],
    },
  ],
  "other-root": [
    {
      break: ({ resource }) => {
        const host = resource(...HOST);
        host.user_data = String(host.user_data).replace("tls_self_signed_certrootcert_pem", "tls_locally_signed_certdevicecert_pem");
      },
      found: ["restricted aws_instance.web-1: pins another root"],
    },
  ],
  "other-first-boot": [
    {
      break: ({ resource }) => {
        const host = resource(...HOST);
        host.user_data = `${host.user_data}useradd -o -u 0 eve\n`;
        const registry = resource(...REGISTRY);
        registry.user_data = String(registry.user_data).replace("sha256sum --status -c", "true");
      },
      found: [
        "restricted aws_instance.web-1: does something else in line 235: useradd -o -u 0 eve",
        'registry aws_instance.registry: does something else in line 186:   echo "$sum  $file" | true 2>/dev/null && continue',
      ],
    },
  ],
};
