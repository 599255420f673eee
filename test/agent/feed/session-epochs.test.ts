import { expect } from "chai";
import { FeedRefusedError, FeedSession } from "../../../agent/feed/session.ts";
import { CEILING, rule, setUp, snapshot, welcome } from "./session-setup.ts";

describe("feed session, epochs and digests", () => {
  it("takes one snapshot of the past when a local operator accepted its epoch, and none without", () => {
    const { desired, session, time } = setUp();
    session.handle(welcome("e5"));
    snapshot(session, ["203.0.113.7/32"]);
    for (const [epoch, revision] of [
      ["e4", 3],
      ["e4", 2],
    ] as const) {
      const asking = new FeedSession(desired, time, CEILING, { forgets: true, accepted: epoch });
      asking.handle(welcome(epoch));
      expect(asking.ahead).to.equal(false);
      snapshot(asking, ["203.0.113.8/32"], revision, epoch);
      expect([desired.epoch, desired.revision]).to.deep.equal([epoch, revision]);
    }
    const other = new FeedSession(desired, time, CEILING, { forgets: true, accepted: "e2" });
    other.handle(welcome("e3"));
    expect(() => snapshot(other, [], 9, "e3")).to.throw(FeedRefusedError, /Cannot go back from epoch e4 to e3/);
  });

  it("accepts a later epoch, even at a lower revision: that is an operator's act at the registry", () => {
    const { desired, session, open } = setUp();
    session.handle(welcome());
    snapshot(session, ["203.0.113.7/32"]);
    const next = open();
    next.handle(welcome("e6"));
    snapshot(next, ["203.0.113.8/32"], 1, "e6");
    expect([desired.epoch, desired.revision]).to.deep.equal(["e6", 1]);
  });

  it("is ahead of a registry of an earlier epoch, and of one that says so; its digest then means nothing", () => {
    const { desired, session, open } = setUp();
    session.handle(welcome());
    snapshot(session, ["203.0.113.7/32"]);
    const other = { type: "heartbeat" as const, revision: 10, digest: "f".repeat(32), time: 1 };
    const past = open();
    past.handle(welcome("e4"));
    past.handle(other);
    session.handle({ type: "ahead", epoch: "e5", revision: 7 });
    session.handle(other);
    expect([past.ahead, session.ahead, desired.revision]).to.deep.equal([true, true, 10]);
  });

  it("compares no digest while a snapshot is on its way: a long one would never end", () => {
    const { desired, session, time, open } = setUp();
    session.handle(welcome());
    snapshot(session, ["203.0.113.7/32"]);
    const other = { type: "heartbeat" as const, revision: 10, digest: "f".repeat(32), time: 1 };
    const asking = new FeedSession(desired, time, CEILING, { forgets: true });
    asking.handle(welcome());
    asking.handle(other);
    asking.handle({ type: "snapshot.begin", epoch: "e5", revision: 11, rules: 0, trust: 0 });
    asking.handle(other);
    asking.handle({ type: "snapshot.end", revision: 11, digest: "0".repeat(32), time: 1 });
    expect(() => asking.handle({ ...other, revision: 11 })).to.throw(FeedRefusedError, /Digest of revision 11/);
    const renewed = open();
    renewed.handle(welcome("e6"));
    renewed.handle({ ...other, revision: 11 });
  });

  it("asks for a snapshot after a digest mismatch, and not after a gap", () => {
    const { session } = setUp();
    session.handle(welcome());
    snapshot(session, []);
    const forget = (act: () => void): boolean | null => {
      try {
        act();
      } catch (error) {
        return error instanceof FeedRefusedError ? error.forget : null;
      }
      return null;
    };
    expect(forget(() => session.handle({ type: "heartbeat", revision: 10, digest: "f".repeat(32), time: 1 }))).to.equal(true);
    expect(forget(() => session.handle({ type: "changes", from: 5, changes: [rule("203.0.113.9/32")], time: 1 }))).to.equal(false);
  });
});
