import { ruleLine, StateDigest } from "../../lib/feed/digest.ts";
import { parsePrefix, prefixBytes } from "../../lib/ip.ts";
import { newId } from "../../registry/store/id.ts";
import { prepared } from "../../registry/store/prepared.ts";
import { readHead } from "../../registry/store/queries.ts";
import { all, type Builder, type Command, type Store } from "../../registry/store/store.ts";

const DAY_MS = 86_400_000;
const ROWS_PER_COMMIT = 20_000;
const DEVICE = "00000000-0000-7000-8000-000000000001";
const CODE = "BENCHBEN";
const PROFILE = "bench-seed";

/** The i-th of up to 16 million addresses that nobody in the lab uses. */
export const seededAddress = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

/**
 * Fills Storage as `count` registrations would have left it, but for the change log: grants of one device, their rules, and the head
 * at the revision that they make. Only while no registry serves. An agent without state then gets a snapshot.
 */
export async function seedStorage(store: Store, count: number): Promise<void> {
  const now = Date.now();
  await store.write((db) => seedOwner(db, now));
  for (let from = 0; from < count; from += ROWS_PER_COMMIT) {
    const to = Math.min(count, from + ROWS_PER_COMMIT);
    await store.write((db) => seedRange(db, from, to, now));
  }
}

function* seedOwner(db: Builder, now: number): Command<void> {
  const life = { address_lifetime_ms: DAY_MS, certificate_lifetime_ms: DAY_MS, max_addresses: 1 };
  const limits = { addresses: JSON.stringify("any"), widest4: 32, widest6: 128, observed6: 128, plain_code: 0, reenroll: 0 };
  yield* all(db.insertInto("profiles").values({ name: PROFILE, pattern: "ip", ...life, ...limits }));
  const code = { selector: CODE, subject: "bench", profile: PROFILE, public_key: "-", uses: 1, used: 1 };
  yield* all(db.insertInto("codes").values({ ...code, created_at: now, expires_at: now + DAY_MS, withdrawn_at: null }));
  const device = { id: DEVICE, subject: "bench", profile: PROFILE, pattern: "ip", selector: CODE, public_key: null };
  yield* all(db.insertInto("devices").values({ ...device, enrolled_at: now, ended_at: null, end_reason: null }));
}

interface Seeded {
  readonly id: string;
  readonly prefix: string;
  readonly bytes: Uint8Array;
  readonly now: number;
  readonly expiresAt: number;
}

const insertRule = prepared((db, v: Seeded) =>
  db.insertInto("rules").values({ lane: "ip", prefix: v.prefix, bytes: v.bytes, expires_at: v.expiresAt }),
);
const insertGrant = prepared((db, v: Seeded) =>
  db.insertInto("grants").values({
    id: v.id,
    device: DEVICE,
    lane: "ip",
    prefix: v.prefix,
    bytes: v.bytes,
    created_at: v.now,
    expires_at: v.expiresAt,
    ended_at: null,
    end_reason: null,
  }),
);

function* seedRange(db: Builder, from: number, to: number, now: number): Command<void> {
  const head = yield* readHead(db);
  const digest = new StateDigest(head.digest);
  for (let i = from; i < to; i++) {
    const prefix = parsePrefix(seededAddress(i));
    const row: Seeded = { id: newId(now), prefix: prefix.text, bytes: prefixBytes(prefix), now, expiresAt: now + DAY_MS };
    digest.add(ruleLine("ip", row.prefix, row.expiresAt));
    yield* all(insertRule(db, row));
    yield* all(insertGrant(db, row));
  }
  const seeded = { revision: head.revision + to - from, rules: head.rules + to - from, digest: digest.hex };
  yield* all(db.updateTable("head").set(seeded).where("id", "=", 1));
}
