import { hash } from "node:crypto";
import { sql } from "kysely";
import { z } from "zod";
import { Problem } from "../../lib/problem.ts";
import { addressesSchema, deviceKeySchema, proofSchema } from "../../lib/registration/fields.ts";
import { atMost, prepared, preparedRows } from "./prepared.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command, first } from "./store.ts";

/** How long a repeat under the same Idempotency-Key gets the first outcome. */
export const IDEMPOTENCY_MS = 15 * 60_000;

/** Submissions that wait for Process at most, some 50 MB: while it is down nobody fills Storage. */
export const MAX_INBOX = 50_000;

/** What the column `submission` holds: the fields of the canonical submission that the other columns do not. */
export const storedSubmissionSchema = z.strictObject({
  addresses: addressesSchema,
  deviceKey: deviceKeySchema.nullable(),
  nonce: proofSchema.shape.nonce,
  time: proofSchema.shape.time,
});
export type StoredSubmission = z.infer<typeof storedSubmissionSchema>;

export interface NewSubmission {
  readonly id: string;
  readonly receivedAt: number;
  readonly action: Database["submissions"]["action"];
  readonly signer: string;
  readonly submission: StoredSubmission;
  readonly signature: string;
  /** DER of the certificate request; null when none was sent. */
  readonly csr: Uint8Array | null;
  /** Canonical addresses that the client was observed at, the peer's first. */
  readonly observed: readonly string[];
  /** Digest of the canonical submission: equal bodies have equal digests. */
  readonly digest: string;
  /** The code itself, sealed to control; null when the submission is signed. */
  readonly sealed: string | null;
  /** SHA-256, lower-case hex, of the client certificate that was seen, or whose key signed; null when another key signed, or the code is sealed. */
  readonly shown: string | null;
  /** As the client sent it; only its hash is stored. */
  readonly idempotencyKey: string | null;
}

const insertSubmission = prepared((db, v: Database["submissions"]) =>
  db.insertInto("submissions").values({
    id: v.id,
    received_at: v.received_at,
    action: v.action,
    signer: v.signer,
    submission: v.submission,
    signature: v.signature,
    csr: v.csr,
    observed: v.observed,
    digest: v.digest,
    idempotency: v.idempotency,
  }),
);
const insertInbox = prepared((db, v: Database["inbox"]) =>
  db.insertInto("inbox").values({ submission: v.submission, received_at: v.received_at, sealed: v.sealed, shown: v.shown }),
);
/** The walk ends at the bound, and an inbox that Process keeps up with is nearly empty. */
const selectInboxAt = prepared((db, v: { at: number }) =>
  db.selectFrom("inbox").select("submission").orderBy("submission").limit(sql.lit(1)).offset(v.at),
);
const selectByKey = prepared((db, v: { idempotency: string }) =>
  db.selectFrom("submissions").select(["id", "digest", "received_at"]).where("idempotency", "=", v.idempotency),
);

/**
 * Stores a submission for Process. Write it with wake "inbox".
 * A repeat under its Idempotency-Key stores nothing and leads to the first one; an old key is forgotten and counts as new.
 * @param beforeStored is called when the submission is no repeat; what it throws keeps it out
 * @param most submissions that may wait
 * @returns the id under which the submission stands
 * @throws Problem idempotency_key_reused | inbox_full
 */
export function* acceptSubmission(
  db: Builder,
  input: NewSubmission,
  beforeStored: () => void,
  most = MAX_INBOX,
): Command<{ id: string; repeated: boolean }> {
  const idempotency = input.idempotencyKey === null ? null : hash("sha256", input.idempotencyKey);
  if (idempotency !== null) {
    const earlier = yield* first(selectByKey(db, { idempotency }));
    if (earlier !== undefined && input.receivedAt - earlier.received_at <= IDEMPOTENCY_MS) {
      if (earlier.digest === input.digest) return { id: earlier.id, repeated: true };
      throw new Problem(
        422,
        "idempotency_key_reused",
        "This Idempotency-Key came with another body before: make a new one for a new body.",
      );
    }
    if (earlier !== undefined) yield* all(db.updateTable("submissions").set({ idempotency: null }).where("id", "=", earlier.id));
  }
  beforeStored();
  if ((yield* first(selectInboxAt(db, { at: most - 1 }))) !== undefined)
    throw new Problem(503, "inbox_full", "Too many submissions wait: nothing was stored. Try again later.");
  const { id, receivedAt: received_at, action, signer, signature, csr, observed, digest } = input;
  const submission = JSON.stringify(input.submission);
  yield* all(
    insertSubmission(db, {
      id,
      received_at,
      action,
      signer,
      submission,
      signature,
      csr,
      observed: observed.join(","),
      digest,
      idempotency,
    }),
  );
  yield* all(insertInbox(db, { submission: id, received_at, sealed: input.sealed, shown: input.shown }));
  return { id, repeated: false };
}

export interface InboxItem {
  readonly id: string;
  readonly action: Database["submissions"]["action"];
  readonly signer: string;
  readonly submission: string;
  readonly signature: string;
  readonly csr: Uint8Array | null;
  readonly observed: string;
  readonly sealed: string | null;
  readonly shown: string | null;
  readonly received_at: number;
  /** The public key of the code, or of the device, that the signer names; null when there is none. */
  readonly code_key: string | null;
  readonly device_key: string | null;
}

/** A code signs as "code:SELECTOR", a device as "device:UUID": neither's name can be a part of the other's. */
export const SELECTOR_AT = "code:".length + 1;
export const DEVICE_AT = "device:".length + 1;

const inboxOf = (db: Builder) =>
  db
    .selectFrom("inbox")
    .innerJoin("submissions", "submissions.id", "inbox.submission")
    .leftJoin("codes", (join) =>
      join.on((eb) => eb("codes.selector", "=", eb.fn<string>("substr", ["submissions.signer", eb.lit(SELECTOR_AT)]))),
    )
    .leftJoin("devices", (join) =>
      join.on((eb) => eb("devices.id", "=", eb.fn<string>("substr", ["submissions.signer", eb.lit(DEVICE_AT)]))),
    )
    .select([
      "submissions.id",
      "action",
      "signer",
      "submissions.submission",
      "signature",
      "csr",
      "observed",
      "inbox.sealed",
      "inbox.shown",
      "inbox.received_at",
    ])
    .select(["codes.public_key as code_key", "devices.public_key as device_key"]);
const selectPlain = prepared((db, v: { limit: number; skip: number }) =>
  inboxOf(db).where("csr", "is", null).orderBy("inbox.submission").limit(atMost(v.limit)).offset(v.skip),
);
const selectCertified = prepared((db, v: { limit: number; skip: number }) =>
  inboxOf(db).where("csr", "is not", null).orderBy("inbox.submission").limit(atMost(v.limit)).offset(v.skip),
);

/**
 * Submissions that wait for Process, in the order they came.
 * @param page `certified`: those with a certificate request, or those without; `skip`: so many of the first are left out
 */
export function readInbox(
  db: Builder,
  { certified, limit, skip = 0 }: { readonly certified: boolean; readonly limit: number; readonly skip?: number },
): Command<InboxItem[]> {
  return all((certified ? selectCertified : selectPlain)(db, { limit, skip }));
}

const selectNewest = prepared((db, v: { limit: number }) => inboxOf(db).orderBy("inbox.submission", "desc").limit(atMost(v.limit)));

/** Those that came last, in the order they came. */
export function* readNewest(db: Builder, { limit }: { readonly limit: number }): Command<InboxItem[]> {
  return (yield* all(selectNewest(db, { limit }))).reverse();
}

const deleteInbox = preparedRows((db, rows: readonly { submission: string }[]) =>
  db
    .deleteFrom("inbox")
    .where(
      "submission",
      "in",
      rows.map((v) => v.submission),
    )
    .returning("submission"),
);
const insertOutcomes = preparedRows((db, rows: readonly Database["outcomes"][]) =>
  db
    .insertInto("outcomes")
    .values(
      rows.map((v) => ({ submission: v.submission, at: v.at, status: v.status, body: v.body, device: v.device, revision: v.revision })),
    ),
);

/** Takes submissions out of the inbox. @returns which were there; whoever is not was concluded by somebody else */
export function* takeFromInbox(db: Builder, submissions: readonly string[]): Command<ReadonlySet<string>> {
  const rows = yield* deleteInbox(
    db,
    submissions.map((submission) => ({ submission })),
  );
  return new Set(rows.map((row) => row.submission));
}

/** Stores what became of submissions. Write it with wake "outcome". */
export function recordOutcomes(db: Builder, outcomes: readonly Database["outcomes"][]): Command<unknown> {
  return insertOutcomes(db, outcomes);
}
