import { expect } from "chai";
import fc from "fast-check";
import { ruleLine, StateDigest, trustLine } from "../../../lib/feed/digest.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import { readChanges, readHead } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness } from "./harness.ts";
import { Model, Registry, step } from "./steps.ts";

describe("effective rules", function () {
  this.timeout(120_000);

  it("are those of the simplest model after any grants, renewals, leaves, revocations, expiries and lane changes in any order, and so is what the feed told", async () => {
    await using harness = await Harness.open();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
        const registry = await Registry.start(harness);
        const model = new Model();
        for (const one of [...steps, { do: "expire" } as const]) {
          model.take(one);
          await registry.take(one, model.now);
          expect(await rules(harness, model.now)).to.deep.equal(model.rules());
        }
        // Nothing that ran out is in force any more once expiry had its turn.
        expect(await rules(harness, 0)).to.deep.equal(model.rules());
        const told = await replay(harness);
        expect(told.rules).to.deep.equal(model.rules());
        expect(await harness.rows(readHead)).to.deep.include({ digest: told.digest, rules: told.rules.length });
      }),
      { numRuns: 80 },
    );
  });
});

/** Effective rules whose time has not come at `now`. */
async function rules(harness: Harness, now: number): Promise<string[]> {
  const rows = await harness.rows((db) => all(db.selectFrom("rules").selectAll().where("expires_at", ">", now)));
  return rows.map(({ lane, prefix, expires_at }) => `${lane} ${prefix} ${expires_at}`).sort();
}

/** The rules as an agent has them that applied every change. */
async function replay(harness: Harness): Promise<{ rules: string[]; digest: string }> {
  const rules = new Map<string, number>();
  const trust = new Map<string, Extract<Change, { kind: "trust.set" }>>();
  for (const { body } of await harness.rows((db) => readChanges(db, { after: 0, limit: 1_000 }))) {
    const change = JSON.parse(body) as Change;
    if (change.kind === "rule.set") rules.set(`${change.lane} ${change.prefix}`, change.expiresAt);
    else if (change.kind === "rule.remove") rules.delete(`${change.lane} ${change.prefix}`);
    else if (change.kind === "trust.set") trust.set(`${change.target} ${change.id}`, change);
    else trust.delete(`${change.target} ${change.id}`);
  }
  const digest = new StateDigest();
  for (const [key, expiresAt] of rules) {
    const [lane = "", prefix = ""] = key.split(" ");
    digest.add(ruleLine(lane, prefix, expiresAt));
  }
  for (const entry of trust.values()) digest.add(trustLine(entry));
  return { rules: [...rules].map(([key, expiresAt]) => `${key} ${expiresAt}`).sort(), digest: digest.hex };
}
