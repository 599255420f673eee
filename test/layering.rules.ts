/** A part of the tree. A file belongs to the first place whose pattern fits its path. */
export interface Place {
  readonly name: string;
  readonly files: RegExp;
  /** What it may import of ours beside itself: places by name, single files by path. */
  readonly may: readonly string[];
  /** Of these places it may import types. */
  readonly mayType?: readonly string[];
}

const AGENT_PARTS = ["agent/nft", "agent/terminator", "agent/feed", "agent/systemd"];
const REGISTRY_PARTS = [
  "registry/config",
  "registry/store",
  "registry/ca",
  "registry/rules",
  "registry/process",
  "registry/feed",
  "registry/http",
  "registry/admin",
  "registry/web",
  "registry/systemd",
];

/** STYLE: arrows point one way. lib ← agent, lib ← registry; agent and registry never meet. */
export const PLACES: readonly Place[] = [
  { name: "lib", files: /^lib\//, may: [] },

  {
    name: "agent/base",
    files:
      /^agent\/(belief|config|desired|lifecycle|packed-map|pins|room|rule|service-certificate|state|state-open|state-rules|target|time|tracked|trust|trust-bodies)\.ts$/,
    may: ["lib"],
  },
  ...AGENT_PARTS.map((name) => ({ name, files: new RegExp(`^${name}/`), may: ["lib", "agent/base"] })),
  { name: "agent/reconciler", files: /^agent\/(effects|merging|reconciler|saving)\.ts$/, may: ["lib", "agent/base"] },
  { name: "agent/main", files: /^agent\/[^/]+\.ts$/, may: ["lib", "agent/base", ...AGENT_PARTS, "agent/reconciler"] },

  { name: "registry/config", files: /^registry\/config\.ts$/, may: ["lib"] },
  { name: "registry/store", files: /^registry\/store\//, may: ["lib", "registry/config"] },
  { name: "registry/ca", files: /^registry\/ca\//, may: ["lib", "registry/config", "registry/store"] },
  { name: "registry/rules", files: /^registry\/rules\//, may: ["lib", "registry/config", "registry/store"] },
  {
    name: "registry/process",
    files: /^registry\/process\//,
    may: ["lib", "registry/config", "registry/store", "registry/ca", "registry/rules"],
  },
  {
    name: "registry/feed",
    files: /^registry\/feed\//,
    may: ["lib", "registry/config", "registry/store", "registry/ca", "registry/rules", "registry/process"],
  },
  // The register role stands where anyone may knock: it meets control in Storage alone.
  { name: "registry/http", files: /^registry\/http\//, may: ["lib", "registry/config", "registry/store", "registry/web"] },
  {
    name: "registry/admin",
    files: /^registry\/admin\//,
    may: ["lib", "registry/config", "registry/store", "registry/ca", "registry/rules", "registry/process", "registry/web"],
  },
  { name: "registry/web", files: /^registry\/web\//, may: ["lib"] },
  { name: "registry/systemd", files: /^registry\/systemd\//, may: ["lib"] },
  { name: "registry/cli", files: /^registry\/cli\//, may: ["lib", "registry/ca/csr.ts"] },
  { name: "registry/main", files: /^registry\/[^/]+\.ts$/, may: ["lib", ...REGISTRY_PARTS] },

  {
    name: "infra",
    files: /^infra\//,
    may: ["lib", "agent/config.ts", "agent/nft/gate.ts", "registry/config.ts"],
    mayType: ["agent/base", "registry/config"],
  },
  // Packages carry what the programs' own renderers say, so that every host has the same files.
  {
    name: "scripts",
    files: /^scripts\//,
    may: ["lib", "agent/config.ts", "agent/nft/gate.ts", "agent/systemd", "registry/systemd"],
  },
  {
    name: "test",
    files: /^test\//,
    may: [
      "lib",
      "agent/base",
      ...AGENT_PARTS,
      "agent/reconciler",
      "agent/main",
      ...REGISTRY_PARTS,
      "registry/cli",
      "registry/main",
      "infra",
      "scripts",
    ],
  },
];

/** One narrow seam per outside thing: the only files that may import it. Tests may import anything. */
export const SEAMS: Readonly<Record<string, RegExp>> = {
  "node:child_process": /^(lib\/(exec|systemd)|agent\/nft\/(kept-open|nft))\.ts$|^(infra|scripts)\//,
  "node:sqlite": /^(registry\/store\/sqlite|agent\/state(-open|-rules)?)\.ts$/,
  "node:worker_threads": /^registry\/store\//,
  kysely: /^registry\/(store|process|rules|ca|http|admin|feed)\//,
  ws: /^(agent|registry)\/feed\//,
  "node-forge": /^registry\/ca\//,
  "@smithy/credential-provider-imds": /^registry\/ca\/aws\//,
  "@smithy/signature-v4": /^registry\/ca\/aws\//,
  fastify: /^registry\/(http|admin)\//,
  "@fastify/helmet": /^registry\/http\//,
  "@fastify/rate-limit": /^registry\/(http|admin)\//,
  "ipaddr.js": /^lib\/ip\.ts$/,
  pino: /^lib\/log\.ts$/,
  "prom-client": /^lib\/metrics\.ts$/,
  yaml: /^lib\/config\.ts$/,
  "systemd-notify": /^lib\/systemd\.ts$/,
  cdktf: /^infra\//,
  "@cdktf/provider-aws": /^infra\//,
  "@cdktf/provider-tls": /^infra\//,
  constructs: /^infra\//,
  esbuild: /^scripts\/build\.ts$/,
};

/** Parts that run where users are: they import Node's own modules and `dependencies`, nothing that `npm ci --omit=dev` leaves out. */
export const SHIPPED = /^(lib|agent|registry)\//;
