import { expect } from "chai";
import { DesiredState } from "../../../agent/desired.ts";
import { standingOf } from "../../../registry/feed/standing.ts";
import { all } from "../../../registry/store/store.ts";
import { set, startAgent, until } from "./agent.ts";
import { type Control, startControl } from "./setup.ts";

/** What an agent holds after the changes that admit these addresses, one a revision. */
function holding(...numbers: readonly number[]): DesiredState {
  const desired = new DesiredState();
  desired.epoch = "e1";
  for (const n of numbers) desired.change(set(n));
  desired.revision = numbers.length;
  return desired;
}

const prefixes = (desired: DesiredState) => [...desired.rules()].map((rule) => rule.prefix);

describe("a registry whose Storage was put back from a copy", () => {
  let control: Control;

  beforeEach(async () => {
    control = await startControl();
  });

  afterEach(async () => {
    await control[Symbol.asyncDispose]();
  });

  const phase = () => control.feed.agents()[0]?.phase;
  const acked = async () => {
    const rows = await control.store.read((db) => all(db.selectFrom("agents").select("acked_revision")));
    return rows.map((row) => row.acked_revision);
  };

  it("lets an agent that is ahead keep what stands, also when its own revisions have passed the agent's", async () => {
    await control.commit(set(1), set(2));
    const desired = holding(1, 2, 3);
    await using agent = startAgent(control, "host1", await control.enroll("host1"), desired);
    await until(() => phase() === "ahead");
    await control.commit(set(4));
    await control.commit(set(5));
    await control.commit(set(6));
    await until(() => agent.client.ahead);
    expect(agent.client.following).to.equal(false);
    await control.restart();
    await until(() => phase() === "ahead" && agent.client.ahead);
    expect(prefixes(desired)).to.deep.equal(["203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32"]);
    expect([agent.effects, desired.revision]).to.deep.equal([[], 3]);
  });

  it("counts nothing that such an agent says as applied", async () => {
    await control.commit(set(1));
    await using agent = startAgent(control, "host1", await control.enroll("host1"), holding(1, 2, 3));
    await until(() => agent.client.ahead);
    agent.client.applied(1);
    const seen = control.feed.agents()[0]?.seenAt ?? 0;
    await until(() => (control.feed.agents()[0]?.seenAt ?? 0) > seen);
    // A registry that stops writes down what it still has to.
    await control.restart();
    expect(await acked()).to.deep.equal([0]);
  });

  it("gives it a snapshot as soon as a new epoch begins", async () => {
    await control.commit(set(1));
    const desired = holding(1, 2, 3);
    await using agent = startAgent(control, "host1", await control.enroll("host1"), desired);
    await until(() => agent.client.ahead);
    await control.store.write((db) => all(db.updateTable("head").set({ epoch: "e2" }).where("id", "=", 1)), ["head"]);
    await until(() => desired.epoch === "e2");
    expect(prefixes(desired)).to.deep.equal(["203.0.113.1/32"]);
    expect([agent.client.ahead, agent.effects]).to.deep.equal([false, ["replaced"]]);
  });

  it("moves an agent that was in step to a new epoch too", async () => {
    await control.commit(set(1));
    await using agent = startAgent(control, "host1", await control.enroll("host1"));
    await until(() => phase() === "live");
    await control.store.write((db) => all(db.updateTable("head").set({ epoch: "e2" }).where("id", "=", 1)), ["head"]);
    await control.commit(set(2));
    await until(() => agent.desired.epoch === "e2" && agent.desired.revision === 2);
    expect(agent.effects).to.deep.equal(["replaced", "replaced"]);
  });

  const head = { epoch: "e5", revision: 100_000 };
  const here = "a".repeat(32);
  const cases: readonly [what: string, held: Parameters<typeof standingOf>[0], digestThere: string | null, standing: string][] = [
    ["an agent without state", { epoch: null, revision: 0, digest: here }, here, "snapshot"],
    ["an earlier epoch", { epoch: "e4", revision: 200_000, digest: here }, here, "snapshot"],
    ["a later epoch", { epoch: "e6", revision: 1, digest: here }, here, "ahead"],
    ["the head itself", { epoch: "e5", revision: 100_000, digest: here }, here, "resume"],
    ["a revision behind", { epoch: "e5", revision: 99_999, digest: here }, here, "resume"],
    ["a revision with another state", { epoch: "e5", revision: 99_999, digest: "b".repeat(32) }, here, "ahead"],
    ["a revision too far back to replay", { epoch: "e5", revision: 49_999, digest: here }, here, "snapshot"],
    ["a revision that the log does not reach", { epoch: "e5", revision: 99_000, digest: here }, null, "snapshot"],
    ["a later revision", { epoch: "e5", revision: 100_001, digest: here }, null, "ahead"],
  ];
  for (const [what, held, digestThere, standing] of cases) {
    it(`answers ${what} with ${standing}`, () => {
      expect(standingOf(held, head, digestThere)).to.equal(standing);
    });
  }
});
