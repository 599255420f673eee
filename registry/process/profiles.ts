import { z } from "zod";
import { PATTERNS, type Page, type Profile, type ProfileSettings } from "../../lib/admin/api.ts";
import { LIFETIME } from "../../lib/admin/lifetime.ts";
import { cidrSchema } from "../../lib/config.ts";
import { parsePrefix } from "../../lib/ip.ts";
import { Problem } from "../../lib/problem.ts";
import { MAX_ADDRESSES } from "../../lib/registration/fields.ts";
import { plainWords } from "../../lib/words.ts";
import type { AddressPolicy } from "../rules/policy.ts";
import { appendAudit, assertLead } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { assertLimit, type PageRequest, pageOf } from "./paging.ts";

const DAY_MS = 24 * 60 * 60_000;

/** Of a list of networks: which is the first that is none, and why. */
function networkWords(issue: z.core.$ZodRawIssue): string {
  const [first] = issue.code === "invalid_union" && Array.isArray(issue.input) ? (issue.errors.at(-1) ?? []) : [];
  if (first === undefined || !Array.isArray(issue.input)) return "must be observed, any, or a list of networks";
  const [at] = first.path;
  return typeof at === "number" ? `'${String(issue.input[at])}': ${first.message}` : first.message;
}

const settingsSchema = z
  .strictObject({
    pattern: z.enum(PATTERNS).default("ip"),
    addresses: z.union([z.enum(["observed", "any"]), z.array(cidrSchema).min(1).max(1024)], { error: networkWords }).default("observed"),
    addressLifetimeMs: z
      .int()
      .min(LIFETIME.address.minMs)
      .max(LIFETIME.address.maxMs)
      .default(7 * DAY_MS),
    certificateLifetimeMs: z
      .int()
      .min(LIFETIME.certificate.minMs)
      .max(LIFETIME.certificate.maxMs)
      .default(7 * DAY_MS),
    maxAddresses: z.int().min(1).max(MAX_ADDRESSES).default(4),
    widest4: z.int().min(0).max(32).default(32),
    widest6: z.int().min(0).max(128).default(64),
    observed6: z.union([z.literal(64), z.literal(128)]).default(64),
    plainCode: z.boolean().default(false),
    reenroll: z.boolean().default(false),
  })
  .refine((profile) => profile.observed6 >= profile.widest6, {
    path: ["observed6"],
    message: "an observed IPv6 address would be registered wider than widest6 allows",
  });

const nameSchema = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a name is 1 to 63 lower-case letters, digits and hyphens");

/** What a code is made for unless its maker says otherwise. */
export const DEFAULT_PROFILE = "desktop";

type Row = Database["profiles"];

/**
 * Makes a profile or gives one new settings; what is left out takes its default. Grants that were made stay as they are.
 * @throws Problem profile_invalid | not_leading
 */
export function* setProfile(
  db: Builder,
  lead: Lead,
  input: { readonly name: string; readonly settings: Partial<ProfileSettings>; readonly now: number; readonly actor: string },
): Command<Profile> {
  yield* assertLead(db, lead);
  const profile = parseProfile(input.name, input.settings);
  const { name, ...columns } = toRow(profile);
  yield* all(
    db
      .insertInto("profiles")
      .values({ name, ...columns })
      .onConflict((conflict) => conflict.column("name").doUpdateSet(columns)),
  );
  yield* appendAudit(db, { at: input.now, actor: input.actor, action: "profile.set", detail: { ...profile } });
  return profile;
}

/** Makes the default profile where there is none of its name. */
export function* ensureDefaultProfile(db: Builder, lead: Lead, { now }: { readonly now: number }): Command<void> {
  const found = yield* first(db.selectFrom("profiles").select("name").where("name", "=", DEFAULT_PROFILE));
  if (found === undefined) yield* setProfile(db, lead, { name: DEFAULT_PROFILE, settings: {}, now, actor: "registry" });
}

/** In the order of their names. */
export function* listProfiles(db: Builder, { after, limit }: PageRequest): Command<Page<Profile>> {
  assertLimit(limit);
  const query = db.selectFrom("profiles").selectAll().orderBy("name").limit(limit);
  const rows = yield* all(after === null ? query : query.where("name", ">", after));
  return pageOf(rows.map(fromRow), limit, (profile) => profile.name);
}

/** What the rules of addresses need to know of a profile's row. */
export function addressPolicy(row: Pick<Row, "addresses" | "max_addresses" | "widest4" | "widest6" | "observed6">): AddressPolicy {
  const addresses = fromColumn(row.addresses);
  return {
    addresses: typeof addresses === "string" ? addresses : addresses.map((network) => parsePrefix(network)),
    maxAddresses: row.max_addresses,
    widest4: row.widest4,
    widest6: row.widest6,
    observed6: row.observed6,
  };
}

function parseProfile(name: string, settings: Partial<ProfileSettings>): Profile {
  const parsed = z.object({ name: nameSchema, settings: settingsSchema }).safeParse({ name, settings }, { error: plainWords });
  if (parsed.success) return { name: parsed.data.name, ...parsed.data.settings };
  const issues = parsed.error.issues.map((issue) => `${issue.path.filter((part) => part !== "settings").join(".")}: ${issue.message}`);
  throw new Problem(422, "profile_invalid", `The profile cannot be set: ${issues.join("; ")}.`);
}

const fromColumn = (addresses: string): ProfileSettings["addresses"] => JSON.parse(addresses) as ProfileSettings["addresses"];

const toRow = (profile: Profile): Row => ({
  name: profile.name,
  pattern: profile.pattern,
  addresses: JSON.stringify(profile.addresses),
  address_lifetime_ms: profile.addressLifetimeMs,
  certificate_lifetime_ms: profile.certificateLifetimeMs,
  max_addresses: profile.maxAddresses,
  widest4: profile.widest4,
  widest6: profile.widest6,
  observed6: profile.observed6,
  plain_code: profile.plainCode ? 1 : 0,
  reenroll: profile.reenroll ? 1 : 0,
});

const fromRow = (row: Row): Profile => ({
  name: row.name,
  pattern: row.pattern,
  addresses: fromColumn(row.addresses),
  addressLifetimeMs: row.address_lifetime_ms,
  certificateLifetimeMs: row.certificate_lifetime_ms,
  maxAddresses: row.max_addresses,
  widest4: row.widest4,
  widest6: row.widest6,
  observed6: row.observed6 === 128 ? 128 : 64,
  plainCode: row.plain_code === 1,
  reenroll: row.reenroll === 1,
});
