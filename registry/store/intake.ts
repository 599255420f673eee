import { z } from "zod";
import { addressesSchema, deviceKeySchema, proofSchema } from "../../lib/registration/fields.ts";
import { atMost, prepared, preparedRows } from "./prepared.ts";
import type { Database } from "./schema.ts";
import { all, type Builder, type Command } from "./store.ts";

/** What the column `submission` holds: the fields of the canonical submission that the other columns do not. */
export const storedSubmissionSchema = z.strictObject({
  addresses: addressesSchema,
  deviceKey: deviceKeySchema.nullable(),
  nonce: proofSchema.shape.nonce,
  time: proofSchema.shape.time,
});
export type StoredSubmission = z.infer<typeof storedSubmissionSchema>;

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

const selectNewest = prepared((db, v: { limit: number }) =>
  inboxOf(db).where("csr", "is", null).orderBy("inbox.submission", "desc").limit(atMost(v.limit)),
);

/** Those without a certificate request that came last, in the order they came. */
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
