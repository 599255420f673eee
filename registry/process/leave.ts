import { Problem } from "../../lib/problem.ts";
import { assertDeviceLives } from "../../lib/registration/ended.ts";
import { prepared } from "../store/prepared.ts";
import { appendAudit, readHead } from "../store/queries.ts";
import { type Builder, type Command, first, type Lead } from "../store/store.ts";
import { endDevice } from "./devices.ts";
import type { Act, Done, Work } from "./work.ts";

const selectDevice = prepared((db, v: { id: string }) =>
  db.selectFrom("devices").select(["id", "pattern", "ended_at", "end_reason"]).where("id", "=", v.id),
);

/**
 * `leave`, signed by the device's key: ends the device and all that it holds. A second time changes nothing and is told the same.
 * @throws Problem device_revoked
 */
export function* permitLeave(db: Builder, lead: Lead, work: Work): Command<Act> {
  const device = yield* first(selectDevice(db, { id: work.submission.signer.slice("device:".length) }));
  if (device === undefined) throw new Problem(401, "proof_refused", "The proof is not right for this device: sign with the device's key.");
  if (device.end_reason === "left") return { wants: null, run: () => gone(db, device) };
  assertDeviceLives(device.end_reason);
  return { wants: null, run: () => leave(db, lead, work, device) };
}

function* leave(db: Builder, lead: Lead, { id, submission, now }: Work, device: { id: string; pattern: string }): Command<Done> {
  const { revision, prefixes } = yield* endDevice(db, lead, { device: device.id, reason: "left", now });
  const detail = { device: device.id, registration: id, prefixes, revision };
  yield* appendAudit(db, { at: now, actor: submission.signer, action: "device.left", detail });
  return doneAt(device, revision);
}

function* gone(db: Builder, device: { id: string; pattern: string }): Command<Done> {
  return doneAt(device, (yield* readHead(db)).revision);
}

const doneAt = ({ id, pattern }: { id: string; pattern: string }, revision: number): Done => ({
  status: 200,
  outcome: "left",
  device: id,
  revision,
  body: { device: id, pattern, addresses: [] },
});
