import {
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import type { Database } from "./schema.ts";
import type { Builder } from "./store.ts";

/** Runs nothing: queries are compiled here and run by a store. Kysely's own dummy would report success and do nothing. */
class CompileOnlyDriver implements Driver {
  #refuse(): never {
    throw new Error("queries are compiled by the builder and run by a store: yield them from a command");
  }
  async init(): Promise<void> {}
  async destroy(): Promise<void> {}
  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#refuse();
  }
  async beginTransaction(): Promise<void> {
    this.#refuse();
  }
  async commitTransaction(): Promise<void> {
    this.#refuse();
  }
  async rollbackTransaction(): Promise<void> {
    this.#refuse();
  }
  async releaseConnection(): Promise<void> {}
}

const dialects: Readonly<Record<"sqlite" | "postgres", Dialect>> = {
  sqlite: {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new CompileOnlyDriver(),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
  postgres: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new CompileOnlyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
};

/** A builder for one database's SQL; `.execute()` on its queries throws. */
export const createBuilder = (database: "sqlite" | "postgres"): Builder => new Kysely<Database>({ dialect: dialects[database] });
