import { all, type Builder, type Command, first } from "./store.ts";

/**
 * The secret that all replicas of the register role make and check tickets of observed addresses with.
 * @param fresh what it becomes where there is none yet
 */
export function* observationKey(db: Builder, fresh: string): Command<string> {
  yield* all(
    db
      .insertInto("meta")
      .values({ key: "observation", value: fresh })
      .onConflict((conflict) => conflict.column("key").doNothing()),
  );
  return (yield* first(db.selectFrom("meta").select("value").where("key", "=", "observation")))?.value ?? fresh;
}
