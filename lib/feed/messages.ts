import { z } from "zod";
import { FEED } from "./limits.ts";

/**
 * The wire of the feed: types and codec, nothing that runs.
 * History: v1, 2026-11-23, first. 2026-11-29: `renew`, which agents of before skip.
 */

/** What trust is about: a CA, its CRL, a registered certificate, a device's prefix. */
export const TRUST_TARGETS = ["ca", "crl", "certificate", "binding"] as const;
export type TrustTarget = (typeof TRUST_TARGETS)[number];

/** Longest prefix in text, characters. */
const PREFIX_CHARS = 49;

/** Trust for the terminator, one entry whole. `body` is for its target to read. */
export const trustSetSchema = z
  .strictObject({
    kind: z.literal("trust.set"),
    target: z.enum(TRUST_TARGETS),
    id: z.string().min(1).max(128),
    body: z.string(),
  })
  .refine(({ target, body }) => body.length <= FEED.maxTrustBody[target], "the body is too long");

/** What changes from one revision to the next. Each sets or removes one thing whole, so applying it twice is applying it once. */
export const changeSchema = z.discriminatedUnion("kind", [
  /** A prefix stands in a lane until a time (integer ms, registry time). */
  z.strictObject({ kind: z.literal("rule.set"), lane: z.enum(["ip", "ipcert"]), prefix: z.string().max(PREFIX_CHARS), expiresAt: z.int() }),
  z.strictObject({ kind: z.literal("rule.remove"), lane: z.enum(["ip", "ipcert"]), prefix: z.string().max(PREFIX_CHARS) }),
  trustSetSchema,
  z.strictObject({ kind: z.literal("trust.remove"), target: z.enum(TRUST_TARGETS), id: z.string().min(1).max(128) }),
]);
export type Change = z.infer<typeof changeSchema>;
export type RuleSet = Extract<Change, { kind: "rule.set" }>;

/** Lane, prefix, and when it ends. */
export type SnapshotRule = [RuleSet["lane"], string, number];

/** By hand: as a schema it took 3 times as long as reading the JSON (measured), at a million rules 0.8 s of the agent's. */
function isSnapshotRules(value: unknown): boolean {
  return Array.isArray(value) && value.length <= FEED.maxRulesPerChunk && value.every(isSnapshotRule);
}

function isSnapshotRule(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 3) return false;
  const [lane, prefix, expiresAt] = value as unknown[];
  return (
    (lane === "ip" || lane === "ipcert") && typeof prefix === "string" && prefix.length <= PREFIX_CHARS && Number.isSafeInteger(expiresAt)
  );
}

const epoch = z.string().max(64);
const revision = z.int().min(0);
const digest = z.string().regex(/^[0-9a-f]{32}$/);
const time = z.int();

/** Agent to registry. What an agent says it holds counts with the epoch that it says it of: revisions of two epochs do not compare. */
export const clientMessageSchema = z.discriminatedUnion("type", [
  /**
   * First message. `epoch` is null when the agent holds nothing; `digest` is that of the revision it holds. `instance` names the running
   * program: two with one agent's name are told from one that connects again.
   */
  z.object({
    type: z.literal("hello"),
    agent: z.string().max(64),
    version: z.string().max(32),
    instance: z.string().max(64),
    epoch: epoch.nullable(),
    revision,
    digest,
  }),
  /** Everything up to `revision` stands in the kernel and on disk; `applyMs` is the slowest apply since the last one. */
  z.object({ type: z.literal("ack"), epoch, revision, digest, applyMs: z.number().min(0) }),
  z.object({ type: z.literal("heartbeat"), epoch: epoch.nullable(), revision, digest, time }),
]);
export type ClientMessage = z.infer<typeof clientMessageSchema>;

/** Registry to agent. */
export const serverMessageSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("welcome"),
    epoch,
    revision,
    time,
    heartbeatMs: z.int().min(100).max(FEED.maxHeartbeatMs),
  }),
  /** What the agent holds is void; `rules` rules and `trust` trust entries follow in chunks. */
  z.object({
    type: z.literal("snapshot.begin"),
    epoch,
    revision,
    rules: z.int().min(0).max(FEED.maxRules),
    trust: z.int().min(0),
  }),
  z.object({
    type: z.literal("snapshot.chunk"),
    rules: z.custom<SnapshotRule[]>(isSnapshotRules, "not rules of the form [lane, prefix, time], or too many"),
    // Not any change: a rule among them would miss the checks that rules pass.
    trust: z.array(trustSetSchema).max(FEED.maxChangesPerMessage),
  }),
  z.object({ type: z.literal("snapshot.end"), revision, digest, time }),
  /** One change a revision: `changes[i]` is revision `from + i`. */
  z.object({ type: z.literal("changes"), from: revision, changes: z.array(changeSchema).min(1).max(FEED.maxChangesPerMessage), time }),
  z.object({ type: z.literal("heartbeat"), revision, digest, time }),
  /** What the agent holds is not in this registry's history, which ends at `revision`: it keeps what stands, and gets nothing here. */
  z.object({ type: z.literal("ahead"), epoch, revision }),
  /** The registry is about to end this feed on purpose: connect again at a random moment within `spreadMs`. */
  z.object({ type: z.literal("restart"), spreadMs: z.int().min(0).max(FEED.maxSpreadMs) }),
  /** The CA of the certificate that this feed came with signs no more: ask for the next one at a random moment within `spreadMs`. */
  z.object({ type: z.literal("renew"), spreadMs: z.int().min(0).max(FEED.maxRenewSpreadMs) }),
]);
export type ServerMessage = z.infer<typeof serverMessageSchema>;

export type Decoded<T> =
  | { readonly kind: "message"; readonly message: T }
  | { readonly kind: "unknown"; readonly type: string }
  | { readonly kind: "invalid"; readonly reason: string };

export const decodeClientMessage = (text: string): Decoded<ClientMessage> => decode(text, clientMessageSchema);
export const decodeServerMessage = (text: string): Decoded<ServerMessage> => decode(text, serverMessageSchema);
export const encode = (message: ClientMessage | ServerMessage): string => JSON.stringify(message);

const KNOWN: ReadonlySet<string> = new Set(
  [...clientMessageSchema.options, ...serverMessageSchema.options].map((option) => option.shape.type.value),
);

/** Never throws: a type of a later version is "unknown" (skipped and counted), anything else that does not fit is "invalid". */
function decode<T>(text: string, schema: z.ZodType<T>): Decoded<T> {
  if (text.length > FEED.maxMessageBytes) return { kind: "invalid", reason: "message too long" };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: "invalid", reason: "not JSON" };
  }
  const type = typeof value === "object" && value !== null && "type" in value ? value.type : undefined;
  if (typeof type !== "string") return { kind: "invalid", reason: "no type" };
  if (!KNOWN.has(type)) return { kind: "unknown", type: type.slice(0, 64) };
  const parsed = schema.safeParse(value);
  if (parsed.success) return { kind: "message", message: parsed.data };
  const issue = parsed.error.issues[0];
  return { kind: "invalid", reason: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "does not fit"}`.slice(0, 200) };
}
