import { DEVICE_AT, SELECTOR_AT } from "./intake.ts";
import { prepared, preparedRows } from "./prepared.ts";
import { all, type Builder, type Command, first } from "./store.ts";

/** Outcomes asked for in one read. */
export const MAX_OUTCOMES = 256;

export interface OutcomeRow {
  readonly submission: string;
  readonly status: number;
  readonly body: string;
  readonly revision: number;
}

const selectOutcomes = preparedRows((db, rows: readonly { submission: string }[]) =>
  db
    .selectFrom("outcomes")
    .select(["submission", "status", "body", "revision"])
    .where(
      "submission",
      "in",
      rows.map((v) => v.submission),
    ),
);

/** The outcomes that are there of submissions. */
export function readOutcomes(db: Builder, ids: readonly string[]): Command<OutcomeRow[]> {
  return selectOutcomes(
    db,
    ids.map((submission) => ({ submission })),
  );
}

/** How many live agents of the restricted zone acknowledged which revision. */
export interface Acknowledged {
  readonly revision: number;
  readonly agents: number;
}

const selectAcknowledged = prepared((db) =>
  db
    .selectFrom("agents")
    .select(({ fn }) => ["acked_revision as revision", fn.countAll<number>().as("agents")])
    .where("zone", "=", "restricted")
    .where("revoked_at", "is", null)
    .groupBy("acked_revision"),
);

export function* readAcknowledged(db: Builder): Command<Acknowledged[]> {
  const rows = yield* all(selectAcknowledged(db, {}));
  return rows.map(({ revision, agents }) => ({ revision: Number(revision), agents: Number(agents) }));
}

const selectKeys = preparedRows((db, rows: readonly { selector: string }[]) =>
  db
    .selectFrom("codes")
    .select(["selector", "public_key"])
    .where(
      "selector",
      "in",
      rows.map((v) => v.selector),
    ),
);

/** The public keys of codes, by selector; those that are not there are not in it. */
export function* readCodeKeys(db: Builder, selectors: readonly string[]): Command<ReadonlyMap<string, string>> {
  const rows = yield* selectKeys(
    db,
    selectors.map((selector) => ({ selector })),
  );
  return new Map(rows.map((row) => [row.selector, row.public_key]));
}

const selectPlain = prepared((db, v: { selector: string }) =>
  db
    .selectFrom("codes")
    .innerJoin("profiles", "profiles.name", "codes.profile")
    .select(["public_key", "plain_code"])
    .where("selector", "=", v.selector),
);

/** A code's public key, and whether its profile lets the code itself be sent; null when there is no such code. */
export function* readPlainCode(
  db: Builder,
  { selector }: { readonly selector: string },
): Command<{ readonly publicKey: string; readonly plainCode: boolean } | null> {
  const row = yield* first(selectPlain(db, { selector }));
  return row === undefined ? null : { publicKey: row.public_key, plainCode: row.plain_code === 1 };
}

const selectShown = prepared((db, v: { fingerprint: string; now: number }) =>
  db
    .selectFrom("certificates")
    .innerJoin("devices", "devices.id", "certificates.device")
    .innerJoin("profiles", "profiles.name", "devices.profile")
    .select(["devices.id", "reenroll"])
    .where("fingerprint", "=", v.fingerprint)
    .where("state", "=", "live")
    .where("ends_at", ">", v.now)
    .where("devices.ended_at", "is", null),
);

/** The device that a live certificate is of, and whether its profile lets it re-enrol; null when it is none. */
export function* readShown(
  db: Builder,
  v: { readonly fingerprint: string; readonly now: number },
): Command<{ readonly device: string; readonly reenroll: boolean } | null> {
  const row = yield* first(selectShown(db, v));
  return row === undefined ? null : { device: row.id, reenroll: row.reenroll === 1 };
}

const selectAuthorities = prepared((db) => db.selectFrom("trust").select("body").where("target", "=", "ca").orderBy("id"));

/** PEM of root and CAs above the devices' certificates, as the gates know them. */
export function* readAuthorities(db: Builder): Command<string[]> {
  return (yield* all(selectAuthorities(db, {}))).map(({ body }) => body);
}

const selectEnd = prepared((db, v: { id: string }) => db.selectFrom("devices").select("end_reason").where("id", "=", v.id));

/** Why a device ended; null of one that lives. */
export function* readEndReason(db: Builder, { id }: { readonly id: string }): Command<"revoked" | "left" | null> {
  return (yield* first(selectEnd(db, { id })))?.end_reason ?? null;
}

const selectDeviceKey = prepared((db, v: { id: string }) => db.selectFrom("devices").select("public_key").where("id", "=", v.id));

/** A device's public key; null when there is no such device, or it has no key. */
export function* readDeviceKey(db: Builder, { id }: { readonly id: string }): Command<string | null> {
  return (yield* first(selectDeviceKey(db, { id })))?.public_key ?? null;
}

const selectCertificate = prepared((db, v: { fingerprint: string; device: string }) =>
  db.selectFrom("certificates").select("pem").where("fingerprint", "=", v.fingerprint).where("device", "=", v.device),
);

/** PEM of a device's certificate, whatever became of it; null when it is none of that device's. */
export function* readCertificate(db: Builder, v: { readonly fingerprint: string; readonly device: string }): Command<string | null> {
  return (yield* first(selectCertificate(db, v)))?.pem ?? null;
}

/** A registration, with the keys that may ask for it. */
export interface RegistrationRow {
  readonly received_at: number;
  readonly signer: string;
  /** The key of the code or the device that signed it; the other is null. */
  readonly code_key: string | null;
  readonly signing_key: string | null;
  readonly device: string | null;
  readonly device_key: string | null;
  /** How the device ended; null while it lives, and while there is none. */
  readonly ended: "revoked" | "left" | null;
  /** Null while there is no outcome. */
  readonly status: number | null;
  readonly body: string | null;
  readonly revision: number | null;
}

export function readRegistration(db: Builder, { id }: { readonly id: string }): Command<RegistrationRow | undefined> {
  return first(
    db
      .selectFrom("submissions")
      .leftJoin("outcomes", "outcomes.submission", "submissions.id")
      .leftJoin("devices", "devices.id", "outcomes.device")
      .leftJoin("codes", (join) =>
        join.on((eb) => eb("codes.selector", "=", eb.fn<string>("substr", ["submissions.signer", eb.lit(SELECTOR_AT)]))),
      )
      .leftJoin("devices as signing", (join) =>
        join.on((eb) => eb("signing.id", "=", eb.fn<string>("substr", ["submissions.signer", eb.lit(DEVICE_AT)]))),
      )
      .select(["submissions.received_at", "signer", "codes.public_key as code_key", "signing.public_key as signing_key"])
      .select(["devices.id as device", "devices.public_key as device_key", "devices.end_reason as ended", "status", "body", "revision"])
      .where("submissions.id", "=", id),
  );
}
