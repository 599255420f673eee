import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { enrollAgent } from "../../../registry/process/agents.ts";
import { beginEpoch } from "../../../registry/process/epoch.ts";
import { commitChanges, readHead, recordAcks } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness } from "./harness.ts";

const LATER = Date.UTC(2036, 0, 1);
const agent = { name: "host1", zone: "restricted" as const, fingerprint: "ab".repeat(32), replace: false };
const change = { kind: "rule.set", lane: "ip", prefix: "203.0.113.1/32", expiresAt: LATER } as const;

describe("a new epoch", () => {
  let harness: Harness;

  beforeEach(async () => {
    harness = await Harness.open();
    const { store, lead } = harness;
    await store.write((db) => enrollAgent(db, lead, { ...agent, now: 1, actor: "test" }));
    await store.write((db) => commitChanges(db, lead, { changes: [change], now: 1 }));
    await store.write((db) => recordAcks(db, [{ name: "host1", revision: 1, seenAt: 1 }]));
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const head = () => harness.rows(readHead);
  const begin = (ahead: Parameters<typeof beginEpoch>[2]["ahead"], now = LATER) =>
    harness.store.write((db) => beginEpoch(db, harness.lead, { ahead, now, actor: "operator:eve" }));

  it("sorts after the one before, keeps what is in force, and forgets what was acknowledged of the old one", async () => {
    const before = await head();
    const begun = await begin([]);
    const { epoch, ...rest } = await head();
    expect(rest).to.deep.equal({ term: before.term, revision: 1, digest: before.digest, rules: 1 });
    expect(epoch > before.epoch).to.equal(true);
    expect(begun).to.deep.equal({ epoch, previous: before.epoch, revision: 1, lost: null, ahead: [] });
    const acked = await harness.rows((db) => all(db.selectFrom("agents").select("acked_revision")));
    expect(acked).to.deep.equal([{ acked_revision: 0 }]);
  });

  it("tells which revisions are lost, and so does the audit log", async () => {
    const { epoch } = await head();
    const ahead = [
      { agent: "host1", epoch, revision: 4 },
      { agent: "host2", epoch, revision: 7 },
    ];
    const begun = await begin(ahead);
    expect([begun.lost, begun.ahead]).to.deep.equal([{ from: 2, to: 7 }, ahead]);
    const entries = await harness.rows((db) => all(db.selectFrom("audit").select(["actor", "action", "detail"]).orderBy("seq")));
    const last = entries.at(-1);
    expect([last?.actor, last?.action, JSON.parse(last?.detail ?? "null")]).to.deep.equal(["operator:eve", "epoch.begun", begun]);
  });

  it("is refused while the clock would make it earlier than what agents hold", async () => {
    const before = await head();
    const ahead = [{ agent: "host1", epoch: "ffffffff-0000-7000-8000-000000000000", revision: 4 }];
    const error = await begin(ahead).catch((reason: unknown) => reason);
    expect(error instanceof Problem && error.code).to.equal("epoch_order");
    expect(await head()).to.deep.equal(before);
  });
});
