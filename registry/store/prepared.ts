import { type Compilable, type CompiledQuery, sql } from "kysely";
import type { Builder } from "./store.ts";

/** Stands for a value while a query is compiled. */
class Slot {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/**
 * A query of the hot path, compiled once per builder. `build` sees stand-ins for the values, so it may only hand them on,
 * one by one, as values: no spreading, no arithmetic, no `in` lists, and nothing that depends on a value being null. A bound that is
 * always the same is written out (`sql.lit`), one that is not goes through {@link atMost}.
 */
export function prepared<P extends object, R>(build: (db: Builder, values: P) => Compilable<R>): (db: Builder, values: P) => Compilable<R> {
  const compiled = new WeakMap<Builder, CompiledQuery<R>>();
  const slots = new Proxy({}, { get: (_, name) => new Slot(String(name)) }) as P;
  return (db, values) => ({
    compile() {
      let query = compiled.get(db);
      if (query === undefined) {
        query = build(db, slots).compile();
        compiled.set(db, query);
      }
      const parameters = query.parameters.map((parameter) =>
        parameter instanceof Slot ? (values as Record<string, unknown>)[parameter.name] : parameter,
      );
      return { ...query, parameters };
    },
  });
}

/** A `limit` that is a value: SQLite plans a query anew, at every run, whose `limit` is a parameter and nothing else. */
export const atMost = (limit: number) => sql<number>`${limit} + 0`;
