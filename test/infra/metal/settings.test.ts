import { join } from "node:path";
import { expect } from "chai";
import { loadMetal, parseMetal } from "../../../infra/metal/settings.ts";
import { ConfigError } from "../../../lib/config.ts";

const EXAMPLE = join(import.meta.dirname, "../../../infra/environments/metal.yaml");
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA";

const problems = (text: string): readonly string[] => {
  try {
    parseMetal("test.yaml", text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("nothing was refused");
};

describe("the settings of hosts that are there", () => {
  it("are whole in the example, and make each host's configuration of its parts", () => {
    const { registry, agents, width } = loadMetal(EXAMPLE);
    expect(width).to.equal(1);
    expect(registry.input).to.deep.equal({
      register: { names: ["register.example"] },
      control: { names: ["control.example"] },
      name: "register.example",
    });
    expect(agents.map(({ connection }) => `${connection.user}@${connection.address}:${connection.port}`)).to.deep.equal([
      "root@203.0.113.21:22",
      "deploy@203.0.113.22:22",
    ]);
    expect(agents[1]?.input).to.deep.equal({
      name: "vault-1",
      zone: "restricted",
      registry: {
        addresses: ["https://control.example:8444"],
        ca: "/etc/entityos-agent/ca.pem",
        certificate: "/etc/entityos-agent/agent.crt",
        key: "/etc/entityos-agent/agent.key",
      },
      terminator: { kind: "haproxy" },
      gate: { management: { networks: ["198.51.100.0/28"] }, lanes: { ip: false, ipcert: true } },
    });
    expect(agents.map(({ config }) => config.gate.lanes)).to.deep.equal([
      { ip: true, ipcert: false, roaming: false },
      { ip: false, ipcert: true, roaming: false },
    ]);
  });

  it("tell all problems together, of form and of what the programs make of them, each with the path where it was written", () => {
    const text = `
environment: lab
backend: { kind: local, folder: state }
packages: "-oProxyCommand=x"
rolling: { width: 0 }
registry: { control: { port: 0 } }
agent: { gate: { lanes: { roming: true } } }
overlays: [{ labels: { tier: web }, agent: { ceiling: { widest4: 33 } } }]
colour: green
hosts:
  - { name: web-1, role: agent, address: 203.0.113.1, ssh: { hostKey: "${KEY}" }, labels: { tier: web }, agent: { terminator: { kind: haproxy } } }
  - { name: web-1, role: agent, address: 203.0.113.1, ssh: { hostKey: none }, agent: { stateDir: "" } }
  - { name: web-3, role: agent, address: 203.0.113.1, ssh: { hostKey: "${KEY}" }, agent: { stateDir: "" } }
  - { name: web-4, role: agent, address: -oProxyCommand=x, ssh: { hostKey: "${KEY}", user: "root;x" } }
  - { name: reg, role: registry, address: 203.0.113.9, ssh: { hostKey: "${KEY}" }, service: [a.example] }
  - { name: reg-2, role: registry, address: 203.0.113.10, ssh: { hostKey: "${KEY}" }, agent: { zone: open } }
`;
    expect(problems(text)).to.deep.equal([
      "packages: a file's path, without spaces, quotes and percent signs",
      "rolling.width: Too small: expected number to be >=1",
      "hosts.1.ssh.hostKey: a host key is its kind and its base64",
      "hosts.3.address: an address is IPv4, IPv6 or a host name in lower case",
      "hosts.3.ssh.user: a user's name is lower-case letters, digits, hyphens and underscores",
      '(whole file): Unrecognized key: "colour"',
      "hosts: one host has the role registry: here are 2",
      "hosts.1.name: web-1 is named twice",
      "hosts.1.address: 203.0.113.1 is named twice",
      "hosts.2.address: 203.0.113.1 is named twice",
      'agent.gate.lanes: Unrecognized key: "roming"',
      "overlays.0.agent.ceiling.widest4: Too big: expected number to be <=32",
      "hosts.1.agent.stateDir: Too small: expected string to have >=1 characters",
      "hosts.2.agent.stateDir: Too small: expected string to have >=1 characters",
      "hosts.4.service: the registry's host has no gate",
      "registry.name: Invalid input: expected string, received undefined",
      "registry.control.port: Too small: expected number to be >=1",
      "hosts.5.agent: the registry's host has no agent: see registry",
    ]);
  });

  it("hide nothing behind a host of which one part has the wrong form", () => {
    const text = `
environment: lab
backend: { kind: local, folder: state }
packages: dist
registry: { name: register.example }
overlays: [{ labels: { tier: web }, agent: { ceiling: { widest4: 33 } } }]
hosts:
  - { name: web-1, role: agnet, address: 203.0.113.1, ssh: { hostKey: "${KEY}" }, agent: { colour: green } }
  - { name: web-1, role: agent, ssh: { hostKey: "${KEY}" }, labels: { tier: web }, agent: { terminator: { kind: haproxy } }, service: ["a b"] }
  - { name: Web, role: agent, address: 203.0.113.3, ssh: none, agent: { terminator: { kind: haproxy } } }
  - { name: reg, role: registry, address: "a b", ssh: { hostKey: "${KEY}" }, service: [a.example] }
  - 5
`;
    expect(problems(text)).to.deep.equal([
      'hosts.0.role: Invalid option: expected one of "registry"|"agent"',
      "hosts.1.address: Invalid input: expected string, received undefined",
      "hosts.1.service.0: a name or an address",
      "hosts.2.name: a name is 1 to 63 lower-case letters, digits and hyphens",
      "hosts.2.ssh: Invalid input: expected object, received string",
      "hosts.3.address: an address is IPv4, IPv6 or a host name in lower case",
      "hosts.4: Invalid input: expected object, received number",
      "hosts.1.name: web-1 is named twice",
      'hosts.0.agent: Unrecognized key: "colour"',
      "overlays.0.agent.ceiling.widest4: Too big: expected number to be <=32",
      "hosts.2.service: the terminator needs a certificate: name what it is for",
      "hosts.3.service: the registry's host has no gate",
    ]);
  });

  it("say nothing that no host has", () => {
    const hosts = (agents: string) => `
environment: lab
backend: { kind: local, folder: state }
packages: dist
registry: { name: register.example }
agent: { gate: { lanes: { ip: true } } }
overlays: [{ labels: { tier: web }, agent: {} }, { labels: { tier: web, site: east }, agent: {} }]
hosts:
  - { name: reg, role: registry, address: 203.0.113.9, ssh: { hostKey: "${KEY}" }, labels: { tier: web, site: east } }
${agents}`;
    const web = `  - { name: web-1, role: agent, address: 203.0.113.1, ssh: { hostKey: "${KEY}" }, labels: { tier: web } }\n`;
    expect(problems(hosts(web))).to.deep.equal(["overlays.1.labels: no host with the role agent has all of these labels"]);
    expect(problems(hosts(""))).to.deep.equal([
      "agent: no host has the role agent",
      "overlays.0.labels: no host with the role agent has all of these labels",
      "overlays.1.labels: no host with the role agent has all of these labels",
    ]);
  });
});
