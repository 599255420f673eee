import { sql } from "kysely";
import type { RuleLane } from "../../lib/service.ts";
import { atMost, prepared } from "../store/prepared.ts";
import { assertLead } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import { all, type Builder, type Command, first, type Lead } from "../store/store.ts";

/** From so many devices on an address is flagged, until the configuration says otherwise. */
const DEVICES_PER_ADDRESS = 50;
/** Newly flagged addresses that are told in one go. */
const TOLD_AT_ONCE = 10;
const THRESHOLD = "devices-per-address";

const selectThreshold = prepared((db) => db.selectFrom("meta").select("value").where("key", "=", sql.lit(THRESHOLD)));
const countLive = prepared((db, v: { lane: RuleLane; prefix: string; now: number; most: number }) =>
  db
    .selectFrom(
      db
        .selectFrom("grants")
        .select("id")
        .where("lane", "=", v.lane)
        .where("prefix", "=", v.prefix)
        .where("ended_at", "is", null)
        .where("expires_at", ">", v.now)
        .limit(atMost(v.most))
        .as("live"),
    )
    .select((eb) => eb.fn.countAll<number>().as("n")),
);
const insertCrowd = prepared((db, v: { lane: RuleLane; prefix: string; since: number }) =>
  db
    .insertInto("crowded")
    .values({ lane: v.lane, prefix: v.prefix, since: v.since, told: sql.lit(0) })
    .onConflict((conflict) => conflict.columns(["lane", "prefix"]).doNothing()),
);
const deleteCrowd = prepared((db, v: { lane: RuleLane; prefix: string }) =>
  db.deleteFrom("crowded").where("lane", "=", v.lane).where("prefix", "=", v.prefix),
);

/**
 * Flags a prefix that many devices are admitted from, and takes the flag away when they are fewer again. It refuses nobody: an office
 * behind one address is no fault, but its operator should know that the address alone tells these devices not apart.
 */
export function* settleCrowd(db: Builder, lane: RuleLane, prefix: string, now: number): Command<void> {
  const most = Number((yield* first(selectThreshold(db, {})))?.value ?? DEVICES_PER_ADDRESS);
  const live = Number((yield* first(countLive(db, { lane, prefix, now, most })))?.n ?? 0);
  yield* all(live >= most ? insertCrowd(db, { lane, prefix, since: now }) : deleteCrowd(db, { lane, prefix }));
}

/** Another threshold than before looks at every address anew. @throws Problem not_leading */
export function* setCrowdThreshold(
  db: Builder,
  lead: Lead,
  { devices, now }: { readonly devices: number; readonly now: number },
): Command<void> {
  yield* assertLead(db, lead);
  if ((yield* first(selectThreshold(db, {})))?.value === String(devices)) return;
  const set = { value: String(devices) };
  yield* all(
    db
      .insertInto("meta")
      .values({ key: THRESHOLD, ...set })
      .onConflict((conflict) => conflict.column("key").doUpdateSet(set)),
  );
  yield* all(db.deleteFrom("crowded"));
  yield* all(
    db
      .insertInto("crowded")
      .columns(["lane", "prefix", "since", "told"])
      .expression(
        db
          .selectFrom("grants")
          .select((eb) => ["lane", "prefix", sql.lit<number>(now).as("since"), eb.lit(0).as("told")])
          .where("ended_at", "is", null)
          .groupBy(["lane", "prefix"])
          .having((eb) => eb(eb.fn.countAll(), ">=", devices)),
      ),
  );
}

const selectUntold = prepared((db) =>
  db.selectFrom("crowded").select(["lane", "prefix", "since"]).where(sql<boolean>`told = 0`).orderBy("since").limit(sql.lit(TOLD_AT_ONCE)),
);

export type Crowd = Pick<Database["crowded"], "lane" | "prefix" | "since">;

/** Flagged addresses that nobody was told of. */
export const untoldCrowds = (db: Builder): Command<Crowd[]> => all(selectUntold(db, {}));

/** Each is told once, until it was fewer and is many again. @throws Problem not_leading */
export function* markTold(db: Builder, lead: Lead, crowds: readonly Crowd[]): Command<void> {
  yield* assertLead(db, lead);
  for (const { lane, prefix } of crowds)
    yield* all(db.updateTable("crowded").set({ told: 1 }).where("lane", "=", lane).where("prefix", "=", prefix));
}
