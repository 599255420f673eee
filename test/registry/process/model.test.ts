import { expect } from "chai";
import fc from "fast-check";
import { ruleLine, StateDigest } from "../../../lib/feed/digest.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import { parsePrefix } from "../../../lib/ip.ts";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { expireGrants } from "../../../registry/process/expiry.ts";
import { addGrant, settleRule } from "../../../registry/process/grants.ts";
import { newId } from "../../../registry/store/id.ts";
import { commitChanges, readChanges, readHead } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness } from "./harness.ts";

const PREFIXES = ["8.8.8.8/32", "9.9.9.0/24", "2606:4700::/64"];
const START = 1_000;

type Step =
  | { readonly do: "grant"; readonly device: number; readonly prefix: number; readonly lifeMs: number }
  | { readonly do: "revoke"; readonly device: number }
  | { readonly do: "wait"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("grant" as const),
      device: fc.nat(3),
      prefix: fc.nat(2),
      lifeMs: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 15 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("revoke" as const), device: fc.nat(3) }) },
);

/** The simplest thing that could be right: a list of grants, looked through whole. */
class Model {
  now = START;
  grants: { device: number; prefix: number; expiresAt: number }[] = [];

  rules(): string[] {
    const rules = PREFIXES.map((prefix, index) => {
      const lives = this.grants.filter((grant) => grant.prefix === index && grant.expiresAt > this.now);
      return lives.length === 0 ? null : `ip ${prefix} ${Math.max(...lives.map(({ expiresAt }) => expiresAt))}`;
    });
    return rules.filter((rule) => rule !== null).sort();
  }

  take(one: Step): void {
    if (one.do === "wait") this.now += one.ms;
    else if (one.do === "revoke") this.grants = this.grants.filter(({ device }) => device !== one.device);
    else this.grants.push({ device: one.device, prefix: one.prefix, expiresAt: this.now + one.lifeMs });
  }
}

/** Devices of the harness that can be revoked and come again under a new id. */
class Registry {
  readonly #harness: Harness;
  readonly #selector: string;
  readonly #ids = new Map<number, string>();

  constructor(harness: Harness, selector: string) {
    this.#harness = harness;
    this.#selector = selector;
  }

  async take(one: Step, now: number): Promise<void> {
    const { store, lead } = this.#harness;
    if (one.do === "grant") {
      const device = this.#ids.get(one.device) ?? (await this.#enrol(one.device));
      const prefix = parsePrefix(PREFIXES[one.prefix] ?? "");
      const expiresAt = now + one.lifeMs;
      await store.write(function* (db) {
        yield* addGrant(db, { id: newId(now), device, lane: "ip", prefix, createdAt: now, expiresAt });
        const change = yield* settleRule(db, "ip", prefix.text, now);
        yield* commitChanges(db, lead, { changes: change === null ? [] : [change], now });
      });
    } else if (one.do === "revoke") {
      const device = this.#ids.get(one.device);
      this.#ids.delete(one.device);
      if (device !== undefined) await store.write((db) => revokeDevice(db, lead, { device, now, actor: "test" }));
    } else {
      await store.write((db) => expireGrants(db, lead, { now }));
    }
  }

  async #enrol(number: number): Promise<string> {
    const id = newId(START);
    const row = {
      id,
      subject: "s",
      profile: "test",
      pattern: "ip",
      selector: this.#selector,
      public_key: null,
      enrolled_at: 1,
      ended_at: null,
      end_reason: null,
    };
    await this.#harness.store.write((db) => all(db.insertInto("devices").values(row)));
    this.#ids.set(number, id);
    return id;
  }
}

describe("effective rules", function () {
  this.timeout(60_000);

  it("are those of the simplest model after any grants, expiries and revocations in any order, and so is what the feed told", async () => {
    await using harness = await Harness.open();
    const { selector } = await harness.code();
    await fc.assert(
      fc
        .asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
          const model = new Model();
          const registry = new Registry(harness, selector);
          for (const one of steps) {
            model.take(one);
            await registry.take(one, model.now);
            expect(await harness.rules()).to.deep.equal(model.rules());
          }
          const told = await replay(harness);
          expect(told.rules).to.deep.equal(model.rules());
          expect(await harness.rows(readHead)).to.deep.include({ digest: told.digest, rules: told.rules.length });
        })
        .beforeEach(() => clear(harness)),
      { numRuns: 60 },
    );
  });
});

/** The rules as an agent has them that applied every change. */
async function replay(harness: Harness): Promise<{ rules: string[]; digest: string }> {
  const rules = new Map<string, number>();
  for (const { body } of await harness.rows((db) => readChanges(db, { after: 0, limit: 1_000 }))) {
    const change = JSON.parse(body) as Change;
    if (change.kind === "rule.set") rules.set(`${change.lane} ${change.prefix}`, change.expiresAt);
    else if (change.kind === "rule.remove") rules.delete(`${change.lane} ${change.prefix}`);
  }
  const digest = new StateDigest();
  for (const [key, expiresAt] of rules) {
    const [lane = "", prefix = ""] = key.split(" ");
    digest.add(ruleLine(lane, prefix, expiresAt));
  }
  return { rules: [...rules].map(([key, expiresAt]) => `${key} ${expiresAt}`).sort(), digest: digest.hex };
}

const clear = (harness: Harness): Promise<void> =>
  harness.store.write(function* (db) {
    for (const table of ["grants", "rules", "changes", "devices"] as const) yield* all(db.deleteFrom(table));
    yield* all(db.updateTable("head").set({ revision: 0, rules: 0, digest: "0".repeat(32) }));
  });
