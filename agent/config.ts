import { z } from "zod";
import { cidrSchema, loadConfig, parseConfig, portSchema } from "../lib/config.ts";
import { PATH, PORT } from "../lib/service.ts";

/** What may end TLS in front of the application. */
export const TERMINATORS = ["haproxy", "nginx"] as const;
export type TerminatorKind = (typeof TERMINATORS)[number];

const lanes = <T extends z.ZodType>(value: T) => ({ ip: value, ipcert: value, roaming: value });

const socketSchema = z.string().regex(/^\/[^\s"'\\#]{1,100}$/, "an absolute path of at most 101 characters, without spaces and quotes");

const gateSchema = z
  .strictObject({
    /** TCP ports that devices connect to. */
    servicePorts: z.array(portSchema).min(1).max(16).default([PORT.service]),
    /** TCP port of the listener behind each lane. */
    listeners: z.strictObject(lanes(portSchema)).default(PORT.listener),
    /** A lane that is off is closed: its sets are kept, nothing of it is admitted. */
    lanes: z
      .strictObject({ ip: z.boolean().default(true), ipcert: z.boolean().default(false), roaming: z.boolean().default(false) })
      .prefault({}),
    /** Ports for operators, from named networks only. */
    management: z
      .strictObject({ ports: z.array(portSchema).max(64).default([22]), networks: z.array(cidrSchema).max(1024).default([]) })
      .prefault({}),
    /** Where load balancers ask whether the host is healthy, from named networks only. */
    probe: z.strictObject({ port: portSchema.default(PORT.probe), networks: z.array(cidrSchema).max(1024).default([]) }).prefault({}),
    /** New connections a source may open (IPv6: its /64). */
    newConnections: z
      .strictObject({ perSecond: z.int().min(1).max(100_000).default(100), burst: z.int().min(1).max(100_000).default(200) })
      .prefault({}),
    /**
     * Connections that a source (IPv6: its /64) may hold open in the lanes, and in lane roaming, where it is a stranger; with HAProxy also
     * requests that it may have under way. Never more than half and an eighth of terminator.maxConnections: one keeps nobody else out.
     */
    openConnections: z
      .strictObject({ perSource: z.int().min(1).max(1_000_000).default(1_000), roaming: z.int().min(1).max(1_000_000).default(200) })
      .prefault({}),
  })
  .prefault({})
  .superRefine((gate, context) => {
    const listeners = Object.values(gate.listeners);
    const ports = [...gate.servicePorts, ...listeners, gate.probe.port, ...gate.management.ports];
    const twice = ports.filter((port, index) => ports.indexOf(port) !== index);
    for (const port of new Set(twice))
      context.addIssue({ code: "custom", path: ["listeners"], message: `port ${port} is named for two purposes` });
  });

const terminatorSchema = z
  .strictObject({
    /** What ends TLS in front of the application: "none" leaves the listeners to something else, which then admits by address alone. */
    kind: z.enum(["none", ...TERMINATORS]).default("none"),
    /** PEM of the service's certificate with its chain; its key stands beside it, with the ending .key. */
    certificate: z
      .string()
      .regex(/^\/[^\s"'\\#]+\.crt$/, "an absolute path that ends in .crt, without spaces and quotes")
      .default(PATH.serviceCertificate),
    /** UNIX socket that the application answers HTTP on. */
    application: socketSchema.default(PATH.applicationSocket),
    /** Control socket of HAProxy's master process (haproxy -W -S). */
    masterSocket: socketSchema.default(PATH.masterSocket),
    /** Largest request body, bytes. */
    maxBodyBytes: z
      .int()
      .min(0)
      .max(2 ** 40)
      .default(100 << 20),
    /** Requests that a source (IPv6: its /64) may make in ten seconds. */
    requestsPer10s: z.int().min(1).max(1_000_000).default(2_000),
    /** Open connections in all lanes, with nginx for each worker process; HAProxy needs four file descriptors for each, nginx three. */
    maxConnections: z.int().min(10).max(1_000_000).default(4_000),
    /** A CRL that ran out: the last one and the list of registered certificates go on deciding, or nobody with a certificate is admitted. */
    expiredCrl: z.enum(["keep", "close"]).default("keep"),
  })
  .prefault({});

/** Of terminator.maxConnections, what one source may hold at most: in the lanes, and as a stranger in lane roaming. */
const SHARE = { perSource: 2, roaming: 8 } as const;

/** Connections, or requests under way, that one source may hold. */
export const mostOfSource = (
  { gate, terminator }: Pick<AgentConfig, "gate" | "terminator">,
  who: keyof AgentConfig["gate"]["openConnections"],
): number => Math.min(gate.openConnections[who], Math.ceil(terminator.maxConnections / SHARE[who]));

/** The agent's configuration file, YAML. */
export const agentConfigSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/, "a name is 1 to 63 lower-case letters, digits, dots and hyphens"),
    zone: z.enum(["restricted", "open"]).default("restricted"),
    registry: z.strictObject({
      /** Control's addresses, tried in turn: "https://control.example:8444". */
      addresses: z
        .array(z.url({ protocol: /^https$/ }))
        .min(1)
        .max(16),
      /** PEM files: the pinned root, and this agent's own certificate and key. */
      ca: z.string().min(1),
      certificate: z.string().min(1),
      key: z.string().min(1),
    }),
    stateDir: z.string().min(1).default(PATH.agentState),
    runtimeDir: z.string().min(1).default(PATH.agentRuntime),
    /** Where entityos-floor.service is told of changes, if it runs. */
    groundDir: z.string().min(1).default(PATH.groundRuntime),
    gate: gateSchema,
    terminator: terminatorSchema,
    /** What the agent believes the feed at most (invariant 13). */
    ceiling: z
      .strictObject({
        widest4: z.int().min(0).max(32).default(24),
        widest6: z.int().min(0).max(128).default(48),
        rules: z.int().min(1).max(5_000_000).default(2_000_000),
      })
      .prefault({}),
    /** Reading the kernel's sets back: how often, 0 is never, and up to how many elements a set is read at all. */
    compare: z
      .strictObject({ everySeconds: z.int().min(0).max(604_800).default(3_600), upTo: z.int().min(1).max(1_000_000).default(100_000) })
      .prefault({}),
    /** Feed silent for longer than this: keep what stands until it expires, or close. 0 is never. */
    stale: z.strictObject({ afterSeconds: z.int().min(0).default(0), action: z.enum(["keep", "close"]).default("keep") }).prefault({}),
  })
  .superRefine((config, context) => {
    const closed = config.zone === "open" && config.gate.lanes.roaming;
    const issue = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    if (closed) issue(["gate", "lanes", "roaming"], "the open zone has no lanes");
    if (config.stale.action === "close" && config.stale.afterSeconds === 0)
      issue(["stale", "afterSeconds"], "to close when the feed is silent takes a time above 0");
    if (config.zone === "open") return;
    // Who is in no lane gets no packet at all: no port of the restricted zone is for everyone.
    for (const ports of ["management", "probe"] as const) {
      for (const [at, network] of config.gate[ports].networks.entries())
        if (network.endsWith("/0")) issue(["gate", ports, "networks", String(at)], "everyone is no network: name those that it is for");
    }
  });

export type AgentConfig = z.output<typeof agentConfigSchema>;
export type GateConfig = AgentConfig["gate"];
export type TerminatorConfig = AgentConfig["terminator"];

/** File of the key that belongs to the service's certificate. */
export const serviceKey = ({ certificate }: TerminatorConfig): string => certificate.replace(/\.crt$/, ".key");

/** @throws ConfigError with every problem of the file */
export const loadAgentConfig = (file: string): AgentConfig => loadConfig(file, agentConfigSchema);
export const parseAgentConfig = (file: string, text: string): AgentConfig => parseConfig(file, text, agentConfigSchema);
