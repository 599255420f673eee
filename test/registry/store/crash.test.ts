import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect } from "chai";
import { ruleLine, StateDigest } from "../../../lib/feed/digest.ts";
import { readHead, verifyAudit } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness } from "../process/harness.ts";

const CHILD = join(import.meta.dirname, "crash.child.ts");

/** Lets a child register until it told of `outcomes` outcomes, then kills it in the middle of its work. */
async function killedAfter(outcomes: number, uses: number, folder: string): Promise<readonly string[]> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", CHILD, folder, String(uses)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  const ended = once(child, "close");
  try {
    let left = outcomes;
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (line.startsWith("outcome") && --left === 0) child.kill("SIGKILL");
    }
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
  return lines;
}

describe("Storage killed in the middle of registrations", function () {
  this.timeout(30_000);

  for (const [outcomes, uses] of [
    [1, 1_000],
    [60, 1_000],
    [150, 100],
  ] as const) {
    it(`holds all that was acknowledged before the kill after ${outcomes} outcomes, and a code of ${uses} uses stays exact`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "entityos-crash-"));
      const told = await killedAfter(outcomes, uses, folder);
      await using harness = await Harness.open(folder);
      const ids = (rows: readonly { id: string }[]) => new Set(rows.map(({ id }) => id));
      const submissions = ids(await harness.rows((db) => all(db.selectFrom("submissions").select("id"))));
      const concluded = new Map(
        (await harness.rows((db) => all(db.selectFrom("outcomes").select(["submission", "status"])))).map((row) => [
          row.submission,
          row.status,
        ]),
      );
      const waiting = ids(await harness.rows((db) => all(db.selectFrom("inbox").select("submission as id"))));
      for (const line of told) {
        const [word, id = "", status] = line.split(" ");
        expect(submissions.has(id), line).to.equal(true);
        if (word === "outcome") expect(concluded.get(id), line).to.equal(Number(status));
      }
      for (const id of submissions) expect(concluded.has(id), id).to.equal(!waiting.has(id));

      await using _process = await harness.process();
      await Promise.all([...submissions].map((id) => harness.outcome(id)));
      const enrolled = (await harness.rows((db) => all(db.selectFrom("outcomes").select("status")))).filter(
        ({ status }) => status === 201,
      ).length;
      expect(enrolled).to.equal(Math.min(uses, submissions.size));
      expect(await harness.rows((db) => all(db.selectFrom("codes").select("used")))).to.deep.equal([{ used: enrolled }]);
      expect(await harness.rows((db) => all(db.selectFrom("devices").select("id")))).to.have.length(enrolled);
      expect((await verifyAudit(harness.store)).ok).to.equal(true);
      await expectSoundHead(harness);
    });
  }
});

/** The head tells exactly the rules that stand, and the change log has no gap. */
async function expectSoundHead(harness: Harness): Promise<void> {
  const head = await harness.rows(readHead);
  const rules = await harness.rows((db) => all(db.selectFrom("rules").selectAll()));
  const digest = new StateDigest();
  for (const rule of rules) digest.add(ruleLine(rule.lane, rule.prefix, rule.expires_at));
  expect(head).to.deep.include({ digest: digest.hex, rules: rules.length });
  const revisions = await harness.rows((db) => all(db.selectFrom("changes").select("revision").orderBy("revision")));
  expect(revisions.map(({ revision }) => revision)).to.deep.equal(Array.from({ length: head.revision }, (_, index) => index + 1));
}
