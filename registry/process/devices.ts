import type { Device, DeviceDetail, Page } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { appendAudit, assertLead, commitChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";
import { endGrants, grantFromRow, grantRows } from "./grants.ts";
import { revokeCertificates } from "./held-certificates.ts";
import { certificatesOf } from "./listed-certificates.ts";
import { assertLimit, type PageRequest, pageOf } from "./paging.ts";

/** Most grants, and certificates, that {@link showDevice} tells; `listGrants` and `listCertificates` page through all. */
const MAX_SHOWN = 1_000;

/** In the order they were enrolled. */
export function* listDevices(db: Builder, { after, limit }: PageRequest): Command<Page<Device>> {
  assertLimit(limit);
  const query = db.selectFrom("devices").selectAll().orderBy("id").limit(limit);
  const rows = yield* all(after === null ? query : query.where("id", ">", after));
  return pageOf(rows.map(fromRow), limit, (device) => device.id);
}

/** The device with its newest grants and certificates, ended ones too. @throws Problem device_unknown */
export function* showDevice(db: Builder, { device }: { readonly device: string }): Command<DeviceDetail> {
  const row = yield* requireDevice(db, device);
  const grants = yield* all(grantRows(db).where("device", "=", device).orderBy("grants.id", "desc").limit(MAX_SHOWN));
  const certificates = yield* certificatesOf(db, { device, limit: MAX_SHOWN });
  return { ...fromRow(row), grants: grants.reverse().map(grantFromRow), certificates };
}

/**
 * An operator's word: ends a device and all its grants. Other devices behind the same prefixes keep them. A second time changes
 * nothing. Write it with wake "head".
 * @returns the revision after which it holds, and how many grants ended
 * @throws Problem device_unknown | not_leading
 */
export function* revokeDevice(
  db: Builder,
  lead: Lead,
  { device, now, actor }: { readonly device: string; readonly now: number; readonly actor: string },
): Command<{ device: string; revision: number; ended: number }> {
  yield* assertLead(db, lead);
  const row = yield* requireDevice(db, device);
  if (row.ended_at !== null) return { device, ended: 0, ...(yield* commitChanges(db, lead, { changes: [], now })) };
  const { revision, prefixes } = yield* endDevice(db, lead, { device, reason: "revoked", now });
  yield* appendAudit(db, { at: now, actor, action: "device.revoked", detail: { device, prefixes, revision } });
  return { device, revision, ended: prefixes.length };
}

/** Ends a live device and all that it holds; whoever asked writes the audit entry. @throws Problem not_leading */
export function* endDevice(
  db: Builder,
  lead: Lead,
  { device, reason, now }: { readonly device: string; readonly reason: "revoked" | "left"; readonly now: number },
): Command<{ revision: number; prefixes: readonly string[] }> {
  yield* all(db.updateTable("devices").set({ ended_at: now, end_reason: reason }).where("id", "=", device));
  const live = yield* all(
    db.selectFrom("grants").select(["id", "device", "lane", "prefix"]).where("device", "=", device).where("ended_at", "is", null),
  );
  const ending = live.map((grant) => ({ ...grant, endedAt: now }));
  const changes = yield* endGrants(db, ending, { reason, now });
  const why = reason === "left" ? "cessationOfOperation" : "privilegeWithdrawn";
  changes.push(...(yield* revokeCertificates(db, { device, reason: why, now })));
  const { revision } = yield* commitChanges(db, lead, { changes, now });
  return { revision, prefixes: live.map((grant) => grant.prefix) };
}

function* requireDevice(db: Builder, device: string): Command<Database["devices"]> {
  const row = yield* first(db.selectFrom("devices").selectAll().where("id", "=", device));
  if (row === undefined) throw new Problem(404, "device_unknown", `There is no device ${device}.`);
  return row;
}

const fromRow = (row: Database["devices"]): Device => ({
  id: row.id,
  subject: row.subject,
  profile: row.profile,
  pattern: row.pattern as Device["pattern"],
  selector: row.selector,
  enrolledAt: row.enrolled_at,
  endedAt: row.ended_at,
  endReason: row.end_reason,
});
