import { expect } from "chai";
import { parse } from "yaml";
import { type AgentConfig, parseAgentConfig } from "../../agent/config.ts";
import { renderGate } from "../../agent/nft/gate.ts";
import { desiredOf } from "../../infra/metal/desired.ts";
import { parseMetal } from "../../infra/metal/settings.ts";
import { parseRegistryConfig } from "../../registry/config.ts";
import { fileOf } from "./aws/synthesised.ts";
import { folder } from "./metal/hosts.ts";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA";

/** AWS gives the open subnets their blocks of IPv6: in the order that they are named in. */
const BLOCKS = ["2001:db8:0:1::/64", "2001:db8:0:2::/64"];

/** The hosts of production on AWS, as somebody would write them for the metal stack: in an order of his own. */
const METAL = `
environment: lab
backend: { kind: local, folder: state }
packages: dist
registry:
  control: { names: [control.gate.example] }
  register:
    proxies: [10.20.0.0/24, 10.20.1.0/24]
    names: [register.gate.example, v4.register.gate.example, v6.register.gate.example]
  name: register.gate.example
agent:
  terminator: { kind: haproxy }
  gate:
    probe: { networks: [10.20.0.0/24, 10.20.1.0/24, "2001:db8:0:1::/64", "2001:db8:0:2::/64"] }
    management: { networks: [] }
    lanes: { ipcert: true, roaming: false, ip: true }
hosts:
  - { name: reg, role: registry, address: 203.0.113.10, ssh: { hostKey: "${KEY}" } }
  - { name: web-2, role: agent, address: 203.0.113.22, ssh: { hostKey: "${KEY}" }, service: [gate.example] }
`;

/** And as an operator writes them by hand. */
const BY_HAND = `
name: web-2
registry:
  addresses: [https://control.gate.example:8444]
  ca: /etc/entityos-agent/ca.pem
  certificate: /etc/entityos-agent/agent.crt
  key: /etc/entityos-agent/agent.key
gate: { lanes: { ip: true, ipcert: true }, probe: { networks: [10.20.0.0/24, 10.20.1.0/24, "2001:db8:0:1::/64", "2001:db8:0:2::/64"] } }
terminator: { kind: haproxy }
`;

describe("a host's configuration", () => {
  const { registry, agents } = parseMetal("metal.yaml", METAL);
  const [agent] = agents;
  if (agent === undefined) throw new Error("unreachable");
  const onAws = (part: string, id: string, path: string) => {
    const blocks = BLOCKS.values();
    return fileOf(part, id, path).replace(/\$\{[^}]*\}/g, (block) => blocks.next().value ?? block);
  };

  it("is the same bytes on AWS and by the metal stack", () => {
    for (const [host, part, id] of [
      [agent, "restricted", "web-2"],
      [registry, "registry", "registry"],
    ] as const) {
      const [[path, text] = ["", ""]] = Object.entries(desiredOf(host, folder, "amd64").files);
      expect(text).to.equal(onAws(part, id, path));
      expect(text).to.match(/^# Written by infra\//);
    }
  }).timeout(180_000);

  it("by hand means what both of them write, and makes the same gate", () => {
    const text = onAws("restricted", "web-2", "/etc/entityos-agent/agent.yaml");
    const [byHand, made] = [parseAgentConfig("by hand", BY_HAND), parseAgentConfig("made", text)];
    expect(byHand).to.deep.equal(made);
    const gate = (config: AgentConfig) => renderGate(config);
    expect(gate(byHand)).to.equal(gate(made));
    expect(Object.keys(parse(text))).to.deep.equal(Object.keys(made).filter((key) => key in parse(text)));
    expect(parseRegistryConfig("made", onAws("registry", "registry", "/etc/entityos-registry/registry.yaml"))).to.deep.equal(
      registry.config,
    );
  }).timeout(180_000);
});
