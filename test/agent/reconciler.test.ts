import { expect } from "chai";
import { setUp } from "./reconciling.ts";

describe("reconciler", () => {
  it("resyncs once at start, then applies differences alone, saves, and tells", async () => {
    await using agent = setUp();
    await agent.stood();
    const done = agent.applied(2);
    agent.set("203.0.113.7/32", 5_000);
    agent.set("203.0.113.8/32", 5_000);
    await done;
    expect(agent.target.calls).to.deep.equal(["resync", "apply 2"]);
    expect(agent.disk.saves).to.deep.equal(["replace 0 =0", "save 2 +2"]);
    expect(agent.told).to.deep.equal([0, 2]);
  });

  it("coalesces what comes while an effect is under way, and loses none of it", async () => {
    await using agent = setUp();
    await agent.stood();
    const held = Promise.withResolvers<void>();
    agent.target.held = held.promise;
    const done = agent.applied(4);
    agent.set("203.0.113.7/32", 5_000);
    await new Promise(setImmediate);
    agent.set("203.0.113.7/32", 6_000);
    agent.set("203.0.113.8/32", 5_000);
    agent.remove("203.0.113.7/32");
    agent.target.held = null;
    held.resolve();
    await done;
    expect([...agent.target.rules]).to.deep.equal([["ip 203.0.113.8/32", 5_000]]);
    expect(agent.target.calls).to.deep.equal(["resync", "apply 1", "apply 2"]);
    expect(agent.told).to.deep.equal([0, 1, 4]);
  });

  it("stands when the gate does, whatever becomes of what comes after it", async () => {
    await using agent = setUp();
    agent.second.failures = 2;
    await agent.reconciler.stands;
    expect(agent.reconciler.dirty).to.equal(true);
    while (agent.reconciler.dirty) await new Promise(setImmediate);
    expect(agent.told).to.deep.equal([0]);
  });

  it("does not tell what could not be saved, leaves the kernel alone, and saves the whole at the next try", async () => {
    await using agent = setUp();
    await agent.stood();
    agent.disk.failures = 1;
    const done = agent.applied(1);
    agent.set("203.0.113.7/32", 5_000);
    await done;
    expect(agent.target.calls.filter((call) => call === "resync")).to.deep.equal(["resync"]);
    expect(agent.disk.saves).to.deep.equal(["replace 0 =0", "replace 1 =1"]);
    expect(agent.told).to.deep.equal([0, 1]);
  });

  it("takes what comes into the kernel while the disk fails, without waiting for it", async () => {
    await using agent = setUp();
    await agent.stood();
    agent.disk.failures = 1;
    agent.disk.onFailure = () => agent.set("203.0.113.8/32", 5_000);
    const done = agent.applied(2);
    agent.set("203.0.113.7/32", 5_000);
    await done;
    // The third brought what came while the disk failed; the last one came with the disk's turn.
    expect(agent.target.calls).to.deep.equal(["resync", "apply 1", "apply 1", "apply 0"]);
    expect(agent.disk.saves).to.deep.equal(["replace 0 =0", "replace 2 =2"]);
    expect(agent.told).to.deep.equal([0, 2]);
  });

  it("holds the desired state still while a resync reads it", async () => {
    await using agent = setUp();
    await agent.stood();
    const held = Promise.withResolvers<void>();
    agent.target.held = held.promise;
    agent.reconciler.requestResync("a test asks");
    while (agent.target.calls.length < 2) await new Promise(setImmediate);
    expect(agent.settled.closed).to.equal(true);
    held.resolve();
    await agent.settled.passed();
    expect(agent.settled.closed).to.equal(false);
  });

  it("writes the whole to disk while the targets work, and commits it after them alone", async () => {
    await using agent = setUp();
    await agent.applied(0);
    const held = Promise.withResolvers<void>();
    agent.target.held = held.promise;
    agent.target.failures = 1;
    const again = agent.applied(0);
    agent.reconciler.replaced(false);
    while (agent.disk.begun < 2) await new Promise(setImmediate);
    expect(agent.disk.saves).to.deep.equal(["replace 0 =0"]);
    held.resolve();
    await again;
    // The target failed once: what was begun beside it was undone, and begun anew.
    expect(agent.disk.begun).to.equal(3);
    expect(agent.disk.saves).to.deep.equal(["replace 0 =0", "replace 0 =0"]);
    await agent.settled.passed();
    expect(agent.disk.disposed).to.equal(3);
  });

  it("has on disk what the targets have and no more, whatever comes and goes while the whole is written", async () => {
    await using agent = setUp();
    await agent.applied(0);
    const held = Promise.withResolvers<void>();
    agent.target.held = held.promise;
    agent.reconciler.replaced(true);
    while (agent.target.calls.length < 2) await new Promise(setImmediate);
    // As the feed does: what comes waits until the desired state may change.
    const settled = async (change: () => void) => {
      while (agent.settled.closed) await agent.settled.passed();
      change();
    };
    const remove = () => settled(() => agent.remove("203.0.113.7/32"));
    agent.disk.onBegin = (rules) => {
      if (rules.size > 0) void remove();
    };
    const [set, removed] = [agent.applied(1), agent.applied(2)];
    const fed = settled(() => agent.set("203.0.113.7/32", 5_000));
    await new Promise(setImmediate);
    held.resolve();
    await fed;
    await set;
    if (agent.desired.size > 0) await remove();
    await removed;
    expect([...agent.disk.rules]).to.deep.equal([]);
  });

  it("does not write the whole to a disk that holds just that, at the start and at a resync: what changed goes on top", async () => {
    await using agent = setUp({ saved: true });
    await agent.applied(0);
    const resynced = agent.applied(1);
    agent.reconciler.requestResync("a test asks");
    agent.set("203.0.113.7/32", 5_000);
    await resynced;
    const replaced = agent.applied(1);
    agent.reconciler.replaced(true);
    await replaced;
    expect(agent.disk.saves).to.deep.equal(["save 0 +0", "save 1 +1", "replace 1 =1"]);
    expect(agent.target.calls).to.deep.equal(["resync", "resync", "apply 0"]);
  });

  it("writes the whole after a resync that failed, and after one whose save failed", async () => {
    await using agent = setUp({ saved: true });
    await agent.applied(0);
    agent.target.failures = 1;
    const first = agent.applied(1);
    agent.reconciler.requestResync("a test asks");
    agent.set("203.0.113.7/32", 5_000);
    await first;
    agent.disk.failures = 1;
    const second = agent.applied(2);
    agent.reconciler.requestResync("a test asks");
    agent.set("203.0.113.8/32", 5_000);
    await second;
    expect(agent.disk.saves).to.deep.equal(["save 0 +0", "replace 1 =1", "replace 2 =2"]);
  });

  it("says that it is closed when every target is, and that it is open when every target is again", async () => {
    await using agent = setUp();
    await agent.stood();
    const first = agent.applied(1);
    agent.set("203.0.113.7/32", 5_000);
    await first;
    const said = () => ({ closed: agent.reconciler.closed, dirty: agent.reconciler.dirty });
    for (const [close, calls] of [
      [true, 2],
      [false, 3],
    ] as const) {
      const slow = Promise.withResolvers<void>();
      agent.second.held = slow.promise;
      agent.close(close);
      while (agent.second.calls.filter((call) => call === "resync").length < calls) await new Promise(setImmediate);
      expect(said()).to.deep.equal({ closed: false, dirty: true });
      slow.resolve();
      while (agent.reconciler.dirty) await new Promise(setImmediate);
      expect(said()).to.deep.equal({ closed: close, dirty: false });
    }
  });

  it("shows the targets nothing while it is to be closed, and everything again afterwards", async () => {
    await using agent = setUp();
    await agent.stood();
    const first = agent.applied(1);
    agent.set("203.0.113.7/32", 5_000);
    await first;
    agent.close(true);
    while (agent.target.rules.size > 0) await new Promise(setImmediate);
    agent.set("203.0.113.8/32", 5_000);
    await new Promise(setImmediate);
    expect(agent.target.rules.size).to.equal(0);
    const again = agent.applied(2);
    agent.close(false);
    await again;
    expect(agent.target.rules.size).to.equal(2);
  });
});
