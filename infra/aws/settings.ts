import { z } from "zod";
import { loadConfig, parseConfig } from "../../lib/config.ts";
import { type AwsSettings, formSchema } from "./form.ts";
import { type PackagesRun, problemsOf } from "./problems.ts";

/**
 * The registry serves both roles in one process over SQLite (`serve --role all`); it has no PostgreSQL storage yet. When it has, this
 * is where it is said, and more replicas than one are taken (docs/decisions/0024-aws.md).
 */
export const THIS_VERSION: PackagesRun = { replicas: false };

const { region, domain, network, architecture, image, registry, restricted } = formSchema.shape;
const only = <K extends string, T extends { readonly [P in K]: z.ZodType }>(shape: T, ...keys: readonly K[]) =>
  z.object(Object.fromEntries(keys.map((key) => [key, shape[key]])) as Pick<T, K>);

/** What of a file has the right form, so that the rest is looked at whatever else is wrong. */
const tolerantSchema = z.object({
  region: region.nullable().catch(null),
  domain: domain.nullable().catch(null),
  network: only(network.shape, "cidr", "zones").nullable().catch(null),
  architecture: architecture.catch("arm64"),
  image: image.catch(13),
  registry: only(registry.shape, "instanceType", "replicas", "zone", "database").nullable().catch(null),
  restricted: only(restricted.shape, "instanceType", "hosts", "admit", "lanes").nullable().catch(null),
});

/** A file → the settings; every problem of form and of meaning together. */
const settingsSchema = (runs: PackagesRun) =>
  z.unknown().transform((value, context): AwsSettings => {
    const issue = (path: readonly PropertyKey[], message: string) => context.addIssue({ code: "custom", path: [...path], message });
    const formed = formSchema.safeParse(value);
    for (const { path, message } of formed.error?.issues ?? []) issue(path, message);
    const read = tolerantSchema.safeParse(value);
    if (read.success) for (const { path, message } of problemsOf(read.data, runs)) issue(path, message);
    return formed.success ? formed.data : z.NEVER;
  });

/** @throws ConfigError with every problem of the file */
export const loadAws = (file: string): AwsSettings => loadConfig(file, settingsSchema(THIS_VERSION));
export const parseAws = (file: string, text: string, runs: PackagesRun = THIS_VERSION): AwsSettings =>
  parseConfig(file, text, settingsSchema(runs));
