import { expect } from "chai";
import { ruleLine, StateDigest, trustLine } from "../../../lib/feed/digest.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import {
  assertLead,
  CHANGES_KEPT,
  commitChanges,
  type RuleRow,
  readChanges,
  readHead,
  readRules,
  readTrust,
  recordAcks,
  takeLead,
} from "../../../registry/store/queries.ts";
import { all, first } from "../../../registry/store/store.ts";
import { Harness } from "../process/harness.ts";

const set = (prefix: string, expiresAt: number, lane: "ip" | "ipcert" = "ip"): Change => ({ kind: "rule.set", lane, prefix, expiresAt });
const remove = (prefix: string): Change => ({ kind: "rule.remove", lane: "ip", prefix });

describe("revisions", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
  });
  afterEach(() => harness[Symbol.asyncDispose]());
  const commit = (...changes: Change[]) => harness.store.write((db) => commitChanges(db, harness.lead, { changes, now: 5 }));

  it("are one a change, without gaps, also when many commit at once", async () => {
    expect(await commit(set("8.8.8.8/32", 10), set("8.8.4.4/32", 10))).to.deep.equal({ revision: 2 });
    await Promise.all(Array.from({ length: 50 }, (_, index) => commit(set(`9.9.9.${index}/32`, 10))));
    const rows = await harness.rows((db) => readChanges(db, { after: 0, limit: 100 }));
    expect(rows.map(({ revision }) => revision)).to.deep.equal(Array.from({ length: 52 }, (_, index) => index + 1));
    expect(await harness.rows((db) => readChanges(db, { after: 50, limit: 1 }))).to.have.length(1);
    expect(await harness.rows(readHead)).to.deep.include({ revision: 52, rules: 52 });
  });

  it("are none when nothing changes", async () => {
    await commit(set("8.8.8.8/32", 10));
    expect(await commit()).to.deep.equal({ revision: 1 });
  });

  it("keep the digest of all that is in force", async () => {
    await commit(
      set("8.8.8.8/32", 10),
      set("2606:4700::/64", 11, "ipcert"),
      set("8.8.8.8/32", 12),
      set("1.1.1.1/32", 3),
      remove("1.1.1.1/32"),
    );
    await commit(remove("9.9.9.9/32"), { kind: "trust.set", target: "ca", id: "a", body: "old" });
    const trust = { kind: "trust.set", target: "ca", id: "a", body: "new" } as const;
    await commit(trust, { kind: "trust.set", target: "crl", id: "b", body: "x" }, { kind: "trust.remove", target: "crl", id: "b" });
    const digest = new StateDigest();
    for (const line of [ruleLine("ip", "8.8.8.8/32", 12), ruleLine("ipcert", "2606:4700::/64", 11), trustLine(trust)]) digest.add(line);
    expect(await harness.rows(readHead)).to.deep.include({ digest: digest.hex, rules: 2, revision: 10 });
    expect(await harness.rows((db) => readTrust(db, { after: null, limit: 5 }))).to.deep.equal([{ target: "ca", id: "a", body: "new" }]);
    expect(await harness.rows((db) => readTrust(db, { after: { target: "ca", id: "a" }, limit: 5 }))).to.deep.equal([]);
  });

  it("come to nothing with the command they stand in", async () => {
    const failing = harness.store.write(function* (db) {
      yield* commitChanges(db, harness.lead, { changes: [set("8.8.8.8/32", 10)], now: 5 });
      throw new Error("later");
    });
    await Promise.allSettled([failing, commit(set("8.8.4.4/32", 10))]);
    expect(await harness.rows(readHead)).to.deep.include({ revision: 1, rules: 1 });
    expect(await harness.rules()).to.deep.equal(["ip 8.8.4.4/32 10"]);
  });

  it("are written by the newest lead alone", async () => {
    const newer = await takeLead(harness.store, 6);
    expect(newer.term).to.equal(harness.lead.term + 1);
    const error = await commit(set("8.8.8.8/32", 10)).catch((reason: unknown) => reason);
    expect(error).to.deep.include({ code: "not_leading", status: 503 });
    expect(await harness.rows(readHead)).to.deep.include({ revision: 0 });
    await harness.store.write((db) => assertLead(db, newer));
  });

  it("are kept up to a bound, the newest", async () => {
    await harness.store.write((db) => all(db.updateTable("head").set({ revision: CHANGES_KEPT - 1 })));
    for (const body of ["first", "second"]) {
      await harness.store.write((db) =>
        all(db.insertInto("changes").values({ revision: body === "first" ? 1 : 2, at: 1, body, digest: "" })),
      );
    }
    await commit(set("8.8.8.8/32", 10));
    expect((await harness.rows((db) => first(db.selectFrom("changes").select("body").orderBy("revision"))))?.body).to.equal("first");
    await commit(set("8.8.4.4/32", 10));
    expect((await harness.rows((db) => first(db.selectFrom("changes").select("body").orderBy("revision"))))?.body).to.equal("second");
  });

  it("page through the rules by key", async () => {
    await commit(set("9.9.9.9/32", 1), set("8.8.8.8/32", 2), set("1.1.1.1/32", 3, "ipcert"));
    const pages: string[] = [];
    let after: { lane: "ip" | "ipcert"; prefix: string } | null = null;
    do {
      const from: typeof after = after;
      const page: readonly RuleRow[] = await harness.rows((db) => readRules(db, { after: from, limit: 1 }));
      pages.push(...page.map((rule) => `${rule.lane} ${rule.prefix} ${rule.expires_at}`));
      after = page.at(-1) ?? null;
    } while (after !== null);
    expect(pages).to.deep.equal(["ip 8.8.8.8/32 2", "ip 9.9.9.9/32 1", "ipcert 1.1.1.1/32 3"]);
  });

  it("note what agents acknowledged, and pass over agents that are not enrolled", async () => {
    const agent = {
      name: "a",
      zone: "restricted",
      fingerprint: "f",
      enrolled_at: 1,
      revoked_at: null,
      acked_revision: 0,
      seen_at: null,
    } as const;
    await harness.store.write((db) => all(db.insertInto("agents").values(agent)));
    await harness.store.write((db) =>
      recordAcks(db, [
        { name: "a", revision: 7, seenAt: 9 },
        { name: "b", revision: 7, seenAt: 9 },
      ]),
    );
    expect(await harness.rows((db) => all(db.selectFrom("agents").select(["name", "acked_revision", "seen_at"])))).to.deep.equal([
      { name: "a", acked_revision: 7, seen_at: 9 },
    ]);
  });
});
