import { z } from "zod";
import { loadConfig, parseConfig } from "../../lib/config.ts";
import { plainWords } from "../../lib/words.ts";
import { type AwsSettings, formSchema } from "./form.ts";
import { type PackagesRun, problemsOf, type Readable } from "./problems.ts";
import { flatIssues, tolerant } from "./tolerant.ts";

/**
 * The registry serves both roles in one process over SQLite (`serve --role all`); it has no PostgreSQL storage yet. When it has, this
 * is where it is said, and more replicas than one are taken (docs/decisions/0024-aws.md).
 */
export const THIS_VERSION: PackagesRun = { replicas: false };

const readable = tolerant(formSchema);

/** A file → the settings; every problem of form and of meaning together. */
const settingsSchema = (runs: PackagesRun) =>
  z.unknown().transform((value, context): AwsSettings => {
    const issue = (path: readonly PropertyKey[], message: string) => context.addIssue({ code: "custom", path: [...path], message });
    const formed = formSchema.safeParse(value, { error: plainWords });
    for (const { path, message } of flatIssues(formed.error?.issues ?? [])) issue(path, message);
    const read = readable.parse(value) as Readable | null;
    if (read !== null) for (const { path, message } of problemsOf(read, runs, Date.now())) issue(path, message);
    return formed.success ? formed.data : z.NEVER;
  });

/** @throws ConfigError with every problem of the file */
export const loadAws = (file: string): AwsSettings => loadConfig(file, settingsSchema(THIS_VERSION));
export const parseAws = (file: string, text: string, runs: PackagesRun = THIS_VERSION): AwsSettings =>
  parseConfig(file, text, settingsSchema(runs));
