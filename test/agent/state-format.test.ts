import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { StateFile } from "../../agent/state.ts";
import { type Log, silentLog } from "../../lib/log.ts";

const CEILING = { widest4: 24, widest6: 48, rules: 3 };
const ZERO = "0".repeat(32);

/** A file as the first version of the agent wrote it, with a rule in force. */
function writeFirstFormat(file: string): void {
  using db = new DatabaseSync(file);
  db.exec(`
    create table rules (lane text not null, prefix text not null, expires_at integer not null, primary key (lane, prefix)) without rowid;
    create table refused (lane text not null, prefix text not null, expires_at integer not null, primary key (lane, prefix)) without rowid;
    create table trust (target text not null, id text not null, body text not null, primary key (target, id)) without rowid;
    create table position (id integer primary key, agent text not null, epoch text, revision integer not null, digest text not null, seen_ms integer not null);
    insert into rules values ('ip', '203.0.113.7/32', 4000000000000);
    insert into position values (1, 'host1', 'e1', 7, '${ZERO}', 1234);
    pragma application_id = ${0x454f4741};
    pragma user_version = 1;
    pragma journal_mode = wal;`);
}

describe("a state file of another format", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-format-"));
    file = join(folder, "state.db");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** What an agent would begin with, and what it says of that. */
  function begun() {
    const told: string[] = [];
    const log: Log = { ...silentLog, error: (fields, message) => told.push(`${message}: ${(fields as { err: Error }).err.message}`) };
    using state = StateFile.open(file, "host1", log);
    const { epoch, revision, size } = state.load(CEILING, null, log);
    return { told, epoch, revision, size };
  }
  const NOTHING = { epoch: null, revision: 0, size: 0 };
  const SET_ASIDE = "Cannot use the saved state; it is set aside and the gate stays closed until the feed brings a snapshot";

  it("an earlier one, is set aside whole: nobody is let in by it, and what it says is kept to be read", () => {
    writeFirstFormat(file);
    expect(begun()).to.deep.equal({ ...NOTHING, told: [`${SET_ASIDE}: the file has format 1, this program reads 2`] });
    using old = new DatabaseSync(`${file}.refused`);
    expect(old.prepare("select prefix from rules").get()?.prefix).to.equal("203.0.113.7/32");
    expect(begun()).to.deep.equal({ ...NOTHING, told: [] });
  });

  it("a later one, as after a way back to an older program, is set aside too", () => {
    StateFile.open(file, "host1", silentLog)[Symbol.dispose]();
    {
      using db = new DatabaseSync(file);
      db.exec("pragma user_version = 3");
    }
    expect(begun()).to.deep.equal({ ...NOTHING, told: [`${SET_ASIDE}: the file has format 3, this program reads 2`] });
    expect(existsSync(`${file}.refused`)).to.equal(true);
  });
});
