import { expect } from "chai";
import { type AgentStateName, type Facts, isHealthy, stateOf } from "../../agent/lifecycle.ts";

const WELL: Facts = {
  gateStands: true,
  dirty: false,
  holdsState: true,
  feedConnected: true,
  silentMs: 0,
  staleAfterMs: 0,
  closed: false,
  stopping: false,
};

describe("agent lifecycle", () => {
  const table: [string, Partial<Facts>, string][] = [
    ["a gate that holds a revision over a live feed enforces", {}, "enforcing"],
    ["before the kernel acknowledged anything it is starting", { gateStands: false, dirty: true, holdsState: false }, "starting"],
    ["a fresh host that holds nothing is closed", { holdsState: false }, "closed"],
    ["without the feed the last good state stays", { feedConnected: false, silentMs: 3_600_000 }, "detached"],
    ["silence beyond the limit is stale", { feedConnected: false, silentMs: 60_000, staleAfterMs: 60_000 }, "stale"],
    ["silence just under the limit is not", { feedConnected: false, silentMs: 59_999, staleAfterMs: 60_000 }, "detached"],
    [
      "a stale host that is configured to close is being repaired while it closes",
      { feedConnected: false, silentMs: 60_000, staleAfterMs: 60_000, dirty: true },
      "repairing",
    ],
    ["and closed once it is", { feedConnected: false, silentMs: 60_000, staleAfterMs: 60_000, closed: true }, "closed"],
    ["it is closed for as long as it is, whatever the feed says", { closed: true }, "closed"],
    ["a live feed is never stale", { silentMs: 99_999, staleAfterMs: 60_000 }, "enforcing"],
    ["what the kernel refused is being repaired", { dirty: true }, "repairing"],
    ["stopping wins over all", { stopping: true, dirty: true, gateStands: false }, "stopping"],
  ];
  for (const [name, facts, state] of table) {
    it(name, () => {
      expect(stateOf({ ...WELL, ...facts })).to.equal(state);
    });
  }

  it("is healthy as long as it admits whom it was told to, with the registry or without", () => {
    const states: AgentStateName[] = ["starting", "closed", "enforcing", "detached", "stale", "repairing", "stopping"];
    expect(states.filter(isHealthy)).to.deep.equal(["enforcing", "detached", "stale"]);
  });
});
