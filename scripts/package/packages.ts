import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAgentConfig } from "../../agent/config.ts";
import { renderClosedGate } from "../../agent/nft/gate.ts";
import {
  agentFolders,
  agentUnit,
  agentUsers,
  floorProgram,
  floorUnit,
  gateProgram,
  gateUnit,
  nftablesDropIn,
  nginxUnit,
  terminatorUnit,
} from "../../agent/systemd/units.ts";
import { PATH } from "../../lib/service.ts";
import { registryFolders, registryUnit, registryUsers } from "../../registry/systemd/units.ts";
import { bundledPackages, type Copyright, copyrightOf } from "./copyright.ts";
import type { Package, PackageFile } from "./deb.ts";
import { agentLauncher, cliLauncher, registryLauncher } from "./launchers.ts";
import { postinst, postrm, prerm, type ServicePackage } from "./maintainer.ts";
import { lockedNode, lockedNodeVersion, type NodeArchitecture } from "./node.ts";

/** What packages are made from. */
export interface PackageSource {
  /** The project's folder. */
  readonly root: string;
  /** Where `npm run build` put its bundles. */
  readonly bundles: string;
  /** Of the programs; Node's is its own. */
  readonly version: string;
  /** Seconds since 1970, for the changelog's date. */
  readonly epoch: number;
}

const MAINTAINER = "entityOS gate maintainers <maintainers@users.noreply.r-seed-32e6d704.example>";
/** First systemd that has what the units use. */
const SYSTEMD = "systemd (>= 252)";

const AGENT: ServicePackage = {
  name: "entityos-agent",
  service: "entityos-agent.service",
  units: [
    "entityos-gate.service",
    "entityos-floor.service",
    "entityos-agent.service",
    "entityos-terminator.service",
    "entityos-terminator-nginx.service",
  ],
  follows: { unit: "entityos-terminator.service", program: "/usr/sbin/haproxy" },
  purge: `rm -rf ${PATH.agentState} ${PATH.agentRuntime} /etc/entityos-agent
if command -v nft >/dev/null; then
  nft "add table inet entityos; delete table inet entityos" || true
fi
`,
};

const REGISTRY: ServicePackage = {
  name: "entityos-registry",
  service: "entityos-registry.service",
  units: ["entityos-registry.service"],
  purge: `rm -rf ${PATH.registryState} ${PATH.registryRuntime} /etc/entityos-registry\n`,
};

export function agentPackage(source: PackageSource): Package {
  const lib = PATH.programs;
  return program(source, "entityos-agent", {
    depends: `${nodeDependency(source)}, nftables (>= 1.0.6), ${SYSTEMD}, passwd`,
    recommends: "haproxy | nginx, conntrack, iproute2",
    about: [
      "lets in whom the registry registered, and nobody else",
      "Drives this host's nftables as the registry's feed says: registered addresses",
      "are let in to the service ports, everybody else gets no packet back. The gate",
      "is closed before the network comes up, and stays what it is while the agent or",
      "the registry is away.",
    ],
    files: [
      text("/usr/sbin/entityos-agent", agentLauncher(), 0o755),
      text(`${lib}/entityos-gate`, gateProgram(), 0o755),
      text(`${lib}/entityos-floor`, floorProgram(), 0o755),
      text(`${lib}/closed.nft`, renderClosedGate(unconfigured())),
      text("/usr/lib/systemd/system/entityos-agent.service", agentUnit()),
      text("/usr/lib/systemd/system/entityos-gate.service", gateUnit()),
      text("/usr/lib/systemd/system/entityos-floor.service", floorUnit()),
      text("/usr/lib/systemd/system/entityos-terminator.service", terminatorUnit()),
      text("/usr/lib/systemd/system/entityos-terminator-nginx.service", nginxUnit()),
      text("/usr/lib/systemd/system/nftables.service.d/entityos.conf", nftablesDropIn()),
      text("/usr/lib/sysusers.d/entityos-agent.conf", agentUsers()),
      text("/usr/lib/tmpfiles.d/entityos-agent.conf", agentFolders()),
      text(PATH.agentConfig, readFileSync(join(source.root, "agent/systemd/agent.yaml"), "utf8")),
    ],
    scripts: { postinst: postinst(AGENT), prerm: prerm(AGENT), postrm: postrm(AGENT) },
    ...(AGENT.follows === undefined ? {} : { interests: [AGENT.follows.program] }),
  });
}

export function registryPackage(source: PackageSource): Package {
  return program(source, "entityos-registry", {
    depends: `${nodeDependency(source)}, ${SYSTEMD}, passwd`,
    recommends: "entityos-cli",
    about: [
      "takes registrations, decides them, and tells every gate",
      "Devices register addresses here with a security code from an operator. The",
      "registry verifies each one and tells the agents on the restricted hosts.",
    ],
    files: [
      text("/usr/sbin/entityos-registry", registryLauncher(), 0o755),
      text("/usr/lib/systemd/system/entityos-registry.service", registryUnit()),
      text("/usr/lib/sysusers.d/entityos-registry.conf", registryUsers()),
      text("/usr/lib/tmpfiles.d/entityos-registry.conf", registryFolders()),
      text(PATH.registryConfig, readFileSync(join(source.root, "registry/systemd/registry.yaml"), "utf8")),
    ],
    scripts: { postinst: postinst(REGISTRY), prerm: prerm(REGISTRY), postrm: postrm(REGISTRY) },
  });
}

export const cliPackage = (source: PackageSource): Package =>
  program(source, "entityos", {
    name: "entityos-cli",
    depends: nodeDependency(source),
    about: [
      "registers devices, and operates the registry they register with",
      "The command entityos: security codes, profiles, devices and agents for",
      "operators; enrolment for a device.",
    ],
    files: [text("/usr/bin/entityos", cliLauncher(), 0o755)],
    scripts: {},
  });

/** Node itself, under a name of its own, so that no other Node of the system is in its way. */
export function nodePackage({ root, epoch }: PackageSource, architecture: NodeArchitecture): Package {
  const { folder, version } = lockedNode(root, architecture);
  const name = "entityos-node";
  return {
    name,
    version,
    architecture,
    level: 0,
    fields: fields("libc6 (>= 2.28), libgcc-s1 (>= 4.2), libstdc++6 (>= 8)", undefined, [
      "Node.js that the entityOS programs run on",
      `Node.js ${version} as its makers built it, in ${PATH.programs}. It is no command`,
      "of the system's and leaves any other Node.js alone.",
    ]),
    files: [
      { path: `${PATH.programs}/node`, mode: 0o755, content: { kind: "copy", from: join(folder, "bin/node") } },
      ...documents(name, version, epoch, {
        file: `Node.js\nCopyright: its contributors, and those of the parts that it holds\nLicense: MIT, and those of its parts: /usr/share/doc/${name}/licences.gz\n`,
        texts: readFileSync(join(folder, "LICENSE"), "utf8"),
      }),
      text(`/usr/share/lintian/overrides/${name}`, NODE_OVERRIDES),
    ],
    scripts: {},
  };
}

const NODE_OVERRIDES = `# Shipped as its makers built and signed it.
${["unstripped-binary-or-object", "embedded-library", "hardening-no-pie", "hardening-no-fortify-functions"].map((tag) => `entityos-node: ${tag} *\n`).join("")}`;

interface Program {
  /** When the package is called otherwise than the program. */
  readonly name?: string;
  readonly depends: string;
  readonly recommends?: string;
  readonly about: readonly string[];
  readonly files: readonly PackageFile[];
  readonly scripts: Readonly<Record<string, string>>;
  readonly interests?: readonly string[];
}

function program(
  { root, bundles, version, epoch }: PackageSource,
  bundle: string,
  { name = bundle, depends, recommends, about, files, scripts, interests = [] }: Program,
): Package {
  const source = readFileSync(join(bundles, `${bundle}.mjs`), "utf8");
  return {
    name,
    version,
    architecture: "all",
    level: 9,
    fields: fields(depends, recommends, about),
    files: [
      // Started by the launcher, not by its first line.
      text(`${PATH.programs}/${bundle}.mjs`, source.replace(/^#!.*\n/, "")),
      ...files,
      ...documents(name, version, epoch, copyrightOf(root, name, bundledPackages(source))),
    ],
    scripts,
    interests,
  };
}

function fields(depends: string, recommends: string | undefined, [synopsis = "", ...lines]: readonly string[]): Package["fields"] {
  return [
    ["Maintainer", MAINTAINER],
    ["Section", "net"],
    ["Priority", "optional"],
    ["Depends", depends],
    ...(recommends === undefined ? [] : [["Recommends", recommends] as const]),
    ["Description", [synopsis, ...lines.map((line) => ` ${line}`)].join("\n")],
  ];
}

/** A program needs the Node that it was tested on, or a newer one of ours. */
const nodeDependency = ({ root }: PackageSource): string => `entityos-node (>= ${lockedNodeVersion(root, "amd64")})`;

const text = (path: string, content: string, mode: 0o644 | 0o755 = 0o644): PackageFile => ({
  path,
  mode,
  content: { kind: "text", text: content },
});

/** Debian's changelog has one entry, this version; what changed is in the project's own CHANGELOG.md. */
function documents(name: string, version: string, epoch: number, copyright: Copyright): PackageFile[] {
  const date = new Date(epoch * 1_000).toUTCString().replace("GMT", "+0000");
  const changelog = `${name} (${version}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the project.\n\n -- ${MAINTAINER}  ${date}\n`;
  const folder = `/usr/share/doc/${name}`;
  return [
    text(`${folder}/copyright`, copyright.file),
    { path: `${folder}/licences.gz`, mode: 0o644, content: { kind: "gzip", text: copyright.texts } },
    { path: `${folder}/changelog.gz`, mode: 0o644, content: { kind: "gzip", text: changelog } },
  ];
}

/** The gate of a host that nobody configured: no management network, every lane empty. */
const unconfigured = () =>
  parseAgentConfig("closed", "{ name: closed, registry: { addresses: ['https://localhost'], ca: none, certificate: none, key: none } }");
