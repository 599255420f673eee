import type { Log } from "../../lib/log.ts";
import { newId } from "./id.ts";
import { MIGRATIONS, metaTable, SCHEMA_VERSION, SQLITE_SPELLING } from "./migrations.ts";

/** "EOGR": marks the file as ours (SQLite's application_id). */
const APPLICATION_ID = 0x454f4752;

/** What stands there is no storage of this program's, or of a newer one: an operator has to look. */
export class StoreRefusedError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreRefusedError";
  }
}

/** What migrating needs of a SQLite connection. */
export interface Plain {
  exec(sql: string): void;
  /** The first column of the first row. */
  value(sql: string): unknown;
}

/** Reads only. @throws StoreRefusedError when the file is another program's, or newer than this one */
export function assertOurs(connection: Plain, file: string): void {
  if (Number(connection.value("select count(*) from sqlite_schema")) === 0) return;
  if (connection.value("pragma application_id") !== APPLICATION_ID)
    throw new StoreRefusedError(`Cannot use ${file} as Storage: it belongs to another program.`);
  const version = schemaVersion(connection);
  if (version > SCHEMA_VERSION) {
    throw new StoreRefusedError(
      `Cannot use ${file} as Storage: its schema is version ${version} and this program knows ${SCHEMA_VERSION}. Use the newer program.`,
    );
  }
}

/** Brings the schema up to date, each step in one transaction. Two programs that do it at once do it once. */
export function migrateSqlite(connection: Plain, file: string, log: Log): void {
  transaction(connection, () => {
    connection.exec(`pragma application_id = ${APPLICATION_ID}`);
    connection.exec(metaTable(SQLITE_SPELLING));
    connection.exec("insert into meta (key, value) values ('schema', '0') on conflict do nothing");
  });
  for (const migration of MIGRATIONS) {
    transaction(connection, () => {
      if (schemaVersion(connection) >= migration.version) return;
      // An epoch's text sorts by when it began: agents take a later one and refuse an earlier one.
      for (const statement of migration.statements(SQLITE_SPELLING, newId(Date.now()))) connection.exec(statement);
      connection.exec(`update meta set value = '${migration.version}' where key = 'schema'`);
      log.info({ file, version: migration.version }, "Schema brought up to date");
    });
  }
}

const schemaVersion = (connection: Plain): number => Number(connection.value("select value from meta where key = 'schema'"));

function transaction(connection: Plain, work: () => void): void {
  connection.exec("begin immediate");
  try {
    work();
    connection.exec("commit");
  } catch (error) {
    connection.exec("rollback");
    throw error;
  }
}
