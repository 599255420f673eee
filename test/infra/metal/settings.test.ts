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
      "hosts.2.address: 203.0.113.1 is named twice",
      'agent.gate.lanes: Unrecognized key: "roming"',
      "overlays.0.agent.ceiling.widest4: Too big: expected number to be <=32",
      "hosts.2.agent.stateDir: Too small: expected string to have >=1 characters",
      "hosts.4.service: the registry's host has no gate",
      "registry.name: Invalid input: expected string, received undefined",
      "registry.control.port: Too small: expected number to be >=1",
      "hosts.5.agent: the registry's host has no agent: see registry",
    ]);
  });
});
