import { type Compilable, type CompiledQuery, sql } from "kysely";
import type { Builder, Command } from "./store.ts";

/** Stands for a value while a query is compiled. */
class Slot {
  readonly name: string;
  readonly row: number;
  constructor(name: string, row: number) {
    this.name = name;
    this.row = row;
  }
}

const slotsOf = <P extends object>(row: number): P => new Proxy({} as P, { get: (_, name) => new Slot(String(name), row) });

/** The query with its values, which stand in `rows` from `at` on. */
function filled<R>(query: CompiledQuery<R>, rows: readonly object[], at: number): CompiledQuery<R> {
  const parameters = query.parameters.map((parameter) =>
    parameter instanceof Slot ? (rows[at + parameter.row] as Record<string, unknown>)[parameter.name] : parameter,
  );
  return { ...query, parameters };
}

/**
 * A query of the hot path, compiled once per builder. `build` sees stand-ins for the values, so it may only hand them on,
 * one by one, as values: no spreading, no arithmetic, no `in` lists, and nothing that depends on a value being null. A bound that is
 * always the same is written out (`sql.lit`), one that is not goes through {@link atMost}.
 */
export function prepared<P extends object, R>(build: (db: Builder, values: P) => Compilable<R>): (db: Builder, values: P) => Compilable<R> {
  const compiled = new WeakMap<Builder, CompiledQuery<R>>();
  const slots = slotsOf<P>(0);
  return (db, values) => ({
    compile() {
      let query = compiled.get(db);
      if (query === undefined) {
        query = build(db, slots).compile();
        compiled.set(db, query);
      }
      return filled(query, [values], 0);
    },
  });
}

/** Rows of one statement: as few statements as these sizes make of any number. */
const SIZES = [64, 32, 16, 8, 4, 2, 1] as const;

/**
 * As {@link prepared}, for many rows at a time, whose number may be any: `build` is called for a few sizes only. What it makes of rows
 * must be the same for all of them together and for each by itself.
 * @returns a command: the rows that the statements gave
 */
export function preparedRows<P extends object, R>(
  build: (db: Builder, rows: readonly [P, ...P[]]) => Compilable<R>,
): (db: Builder, rows: readonly P[]) => Command<R[]> {
  const compiled = new WeakMap<Builder, Map<number, CompiledQuery<R>>>();
  const querySized = (db: Builder, size: number): CompiledQuery<R> => {
    const sized = compiled.get(db) ?? new Map<number, CompiledQuery<R>>();
    compiled.set(db, sized);
    let query = sized.get(size);
    if (query === undefined) {
      const others = Array.from({ length: size - 1 }, (_, row) => slotsOf<P>(row + 1));
      query = build(db, [slotsOf<P>(0), ...others]).compile();
      sized.set(size, query);
    }
    return query;
  };
  return function* (db, rows) {
    const found: R[] = [];
    for (let at = 0; at < rows.length; ) {
      const size = SIZES.find((each) => each <= rows.length - at) ?? 1;
      found.push(...((yield filled(querySized(db, size), rows, at)) as R[]));
      at += size;
    }
    return found;
  };
}

/** A `limit` that is a value: SQLite plans a query anew, at every run, whose `limit` is a parameter and nothing else. */
export const atMost = (limit: number) => sql<number>`${limit} + 0`;
