import { z } from "zod";
import { cidrSchema, loadConfig, parseConfig } from "../lib/config.ts";
import { contains, parsePrefix } from "../lib/ip.ts";
import { backendSchema } from "./backend.ts";

/** Name of an environment. */
export const nameSchema = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, "a name is 1 to 31 lower-case letters, digits and hyphens");
const subnetSchema = z.strictObject({ availabilityZone: z.string().min(1), cidr: cidrSchema });
const networksSchema = z.array(cidrSchema).max(60);

/** One environment, YAML: what its networks are. Reference: infra/environments/example.yaml. */
export const settingsSchema = z
  .strictObject({
    environment: nameSchema,
    region: z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, "a region is written like ap-southeast-2"),
    backend: backendSchema,
    network: z.strictObject({
      /** IPv4 network of the whole, /16 to /24; its IPv6 network is assigned by AWS. */
      cidr: cidrSchema,
      open: z.array(subnetSchema).min(1).max(6),
      restricted: z.array(subnetSchema).min(1).max(6),
    }),
    /** Networks whose packets reach the restricted hosts' own gate at all; nobody's by default. */
    admit: networksSchema.default([]),
    /** Networks of operators: they reach control and the management port. */
    operators: networksSchema.default([]),
  })
  .superRefine((settings, context) => {
    for (const { path, message } of networkProblems(settings)) context.addIssue({ code: "custom", path: [...path], message });
  });

export type Settings = z.output<typeof settingsSchema>;

/** @throws ConfigError with every problem of the file */
export const loadSettings = (file: string): Settings => loadConfig(file, settingsSchema);
export const parseSettings = (file: string, text: string): Settings => parseConfig(file, text, settingsSchema);

interface Found {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

function networkProblems(settings: Pick<Settings, "region" | "network" | "admit" | "operators">): Found[] {
  const whole = parsePrefix(settings.network.cidr);
  const found: Found[] = [];
  const fit = whole.family === 4 && whole.length >= 16 && whole.length <= 24;
  if (!fit) found.push({ path: ["network", "cidr"], message: "the network is IPv4, from /16 to /24" });
  const subnets = (["open", "restricted"] as const).flatMap((zone) =>
    settings.network[zone].map((subnet, index) => ({ ...subnet, block: parsePrefix(subnet.cidr), path: ["network", zone, index] })),
  );
  for (const [index, { block, cidr, availabilityZone, path }] of subnets.entries()) {
    if (!contains(whole, block)) found.push({ path: [...path, "cidr"], message: `${cidr} is not inside ${settings.network.cidr}` });
    const before = subnets.slice(0, index).find((other) => contains(other.block, block) || contains(block, other.block));
    if (before !== undefined) found.push({ path: [...path, "cidr"], message: `${cidr} overlaps ${before.cidr}` });
    if (!availabilityZone.startsWith(settings.region))
      found.push({ path: [...path, "availabilityZone"], message: `${availabilityZone} is not in ${settings.region}` });
  }
  for (const key of ["admit", "operators"] as const) {
    for (const [index, cidr] of settings[key].entries()) {
      if (cidr.endsWith("/0")) found.push({ path: [key, index], message: `${cidr} is everyone: the restricted zone names its networks` });
    }
  }
  return found;
}
