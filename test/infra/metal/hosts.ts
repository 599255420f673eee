import { createHash } from "node:crypto";
import { desiredOf, sha256Of } from "../../../infra/metal/desired.ts";
import { HostError } from "../../../infra/metal/errors.ts";
import type { PackageFolder } from "../../../infra/metal/packages.ts";
import { type Host, type MetalSettings, parseMetal } from "../../../infra/metal/settings.ts";
import type { Remote } from "../../../infra/metal/ssh.ts";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA";

/** A registry and three gates. */
export const settings = (width = 1): MetalSettings =>
  parseMetal(
    "test.yaml",
    `
environment: lab
backend: { kind: local, folder: state }
packages: dist
rolling: { width: ${width} }
ssh: { key: keys/id }
registry: { name: register.example }
agent: { gate: { management: { networks: [203.0.113.0/24] } } }
hosts:
  - { name: web-1, role: agent, address: 203.0.113.21, ssh: { hostKey: "${KEY}" } }
  - { name: reg, role: registry, address: 203.0.113.10, ssh: { hostKey: "${KEY}" } }
  - { name: web-2, role: agent, address: 203.0.113.22, ssh: { hostKey: "${KEY}" } }
  - { name: web-3, role: agent, address: 203.0.113.23, ssh: { hostKey: "${KEY}" } }
`,
  );

export const folder: PackageFolder = {
  folder: "/nonexistent",
  files: ["agent", "registry", "cli", "node"].map((name) => ({
    name: `entityos-${name}`,
    version: "1.0",
    architecture: name === "node" ? "amd64" : "all",
    file: `entityos-${name}_1.0_all.deb`,
    sha256: createHash("sha256").update(name).digest("hex"),
  })),
};

/** A host that answers the reading script with a text, or not at all. */
export const answering = (name: string, text: string | null): Remote & Disposable => ({
  async sh(step) {
    if (text === null) throw new HostError(name, step, "unreachable", "no answer");
    return text;
  },
  [Symbol.dispose]() {},
});

/** What an agent says that is well. */
export const STATUS = { pid: 1, zone: "restricted", state: "enforcing", revision: 1, alarms: [], feed: { connected: true } };

export const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");

/** What the reading script says of a host that is what it is to be. */
export function sound(host: Host, generation: string): string {
  const { files, packages, units, zone } = desiredOf(host, folder, "amd64");
  const record = {
    host: host.connection.name,
    generation,
    packages: Object.fromEntries(packages.map(({ name, sha256 }) => [name, sha256])),
    zone,
  };
  return [
    "architecture amd64",
    "asked 203.0.113.5 22",
    ...packages.map(({ name, version }) => `package installed ${name} ${version}`),
    ...Object.entries(files).map(([path, text]) => `file ${path} ${sha256Of(text)}`),
    ...units.map((unit) => `unit ${unit} active enabled`),
    ...(host.role === "agent" ? ["enrolled", `status ${base64(STATUS)}`] : []),
    `record ${base64(record)}`,
    "",
  ].join("\n");
}
