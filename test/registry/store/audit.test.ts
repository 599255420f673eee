import { hash } from "node:crypto";
import { expect } from "chai";
import { appendAudit, verifyAudit } from "../../../registry/store/queries.ts";
import { all, type Builder, type Command } from "../../../registry/store/store.ts";
import { Harness } from "../process/harness.ts";

describe("the audit log", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
    await harness.store.write((db) => all(db.deleteFrom("audit")));
  });
  afterEach(() => harness[Symbol.asyncDispose]());
  const append = (action: string) =>
    harness.store.write((db) => appendAudit(db, { at: 7, actor: "operator:eve", action, detail: { n: 1 } }));

  it("chains each entry to the one before by SHA-256", async () => {
    expect(await append("one")).to.equal(1);
    expect(await append("two")).to.equal(2);
    const rows = await harness.rows((db) => all(db.selectFrom("audit").selectAll().orderBy("seq")));
    const line = (seq: number, action: string) => `[${seq},7,"operator:eve","${action}","{\\"n\\":1}"]\n`;
    const one = hash("sha256", `${"0".repeat(64)}\n${line(1, "one")}`);
    expect(rows.map((row) => row.hash)).to.deep.equal([one, hash("sha256", `${one}\n${line(2, "two")}`)]);
    expect(rows.map((row) => row.previous)).to.deep.equal(["0".repeat(64), one]);
  });

  it("is whole over several pages", async () => {
    await Promise.all(Array.from({ length: 2_100 }, (_, index) => append(`action ${index}`)));
    expect(await verifyAudit(harness.store)).to.deep.equal({ entries: 2_100, ok: true, brokenAt: null });
  });

  const tampering: readonly [what: string, brokenAt: number, (db: Builder) => Command<unknown>][] = [
    ["a changed detail", 2, (db) => all(db.updateTable("audit").set({ detail: '{"n":2}' }).where("seq", "=", 2))],
    ["a changed actor", 2, (db) => all(db.updateTable("audit").set({ actor: "operator:bob" }).where("seq", "=", 2))],
    ["a changed time", 1, (db) => all(db.updateTable("audit").set({ at: 8 }).where("seq", "=", 1))],
    ["a removed entry", 2, (db) => all(db.deleteFrom("audit").where("seq", "=", 2))],
    ["a removed first entry", 1, (db) => all(db.deleteFrom("audit").where("seq", "=", 1))],
    [
      "a changed hash",
      3,
      (db) =>
        all(
          db
            .updateTable("audit")
            .set({ hash: "0".repeat(64) })
            .where("seq", "=", 3),
        ),
    ],
  ];
  for (const [what, brokenAt, tamper] of tampering) {
    it(`tells where it was broken: ${what}`, async () => {
      for (const action of ["one", "two", "three"]) await append(action);
      await harness.store.write(tamper);
      expect(await verifyAudit(harness.store)).to.deep.equal({ entries: brokenAt - 1, ok: false, brokenAt });
    });
  }
});
