import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { silentLog } from "../../../lib/log.ts";
import { Problem } from "../../../lib/problem.ts";
import { openSqliteStore } from "../../../registry/store/sqlite.ts";
import { all } from "../../../registry/store/store.ts";

/** Runs on a small disk: writes, fills it, writes, empties it, writes, and tells on standard output what became of each. */
const [folder = ""] = process.argv.slice(2);
const ballast = join(folder, "ballast");
await using store = await openSqliteStore({ file: join(folder, "registry", "registry.db"), log: silentLog });
let wakes = 0;
using _watch = store.watch("head", () => wakes++);

const put = (key: string, bytes: number): Promise<string> =>
  store
    .write((db) => all(db.insertInto("meta").values({ key, value: "x".repeat(bytes) })), ["head"])
    .then(
      () => "written",
      (error: unknown) => (error instanceof Problem ? error.code : String(error)),
    );

function fill(): void {
  const fd = openSync(ballast, "w");
  for (const bytes of [65_536, 4_096, 1]) {
    try {
      for (;;) writeSync(fd, Buffer.alloc(bytes));
    } catch {
      // Full, to this many bytes.
    }
  }
  closeSync(fd);
}

const before = await Promise.all([put("before 1", 10), put("before 2", 10)]);
fill();
const full = await Promise.all([put("full 1", 10), put("full 2", 300_000), put("full 3", 10)]);
// Larger than SQLite's page cache: this one fails in its statement, before any commit.
const large = await put("full 4", 8_000_000);
const wakesWhileFull = wakes;
rmSync(ballast);
const after = await Promise.all([put("after 1", 10), put("after 2", 300_000)]);
const keys = (await store.read((db) => all(db.selectFrom("meta").select("key").where("key", "like", "% _").orderBy("key")))).map(
  ({ key }) => key,
);
process.stdout.write(JSON.stringify({ before, full, large, after, keys, wakesWhileFull }));
