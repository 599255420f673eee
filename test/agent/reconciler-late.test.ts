import { expect } from "chai";
import { setUp } from "./reconciling.ts";

describe("reconciler, a target of which fails or is late", () => {
  it("keeps what failed, resyncs, and tells only what stands", async () => {
    await using agent = setUp();
    await agent.stood();
    agent.target.failures = 2;
    const done = agent.applied(1);
    agent.set("203.0.113.7/32", 5_000);
    await done;
    expect(agent.target.calls).to.deep.equal(["resync", "apply 1", "resync", "resync"]);
    expect([...agent.target.rules]).to.deep.equal([["ip 203.0.113.7/32", 5_000]]);
    expect(agent.told).to.deep.equal([0, 1]);
    while (agent.reconciler.dirty) await new Promise(setImmediate);
  });

  it("resyncs the target that failed alone; what is taken back is taken back at the others meanwhile, and nothing is told", async () => {
    await using agent = setUp();
    await agent.stood();
    const first = agent.applied(1);
    agent.set("203.0.113.7/32", 5_000);
    await first;
    agent.target.failures = 3;
    const done = agent.applied(2);
    agent.remove("203.0.113.7/32");
    while (agent.second.rules.size > 0) await new Promise(setImmediate);
    expect(agent.told).to.deep.equal([0, 1]);
    await done;
    expect(agent.target.calls).to.deep.equal(["resync", "apply 1", "apply 1", "resync", "resync", "resync"]);
    expect(agent.second.calls).to.deep.equal(["resync", "apply 1", "apply 1", "apply 0", "apply 0", "apply 0"]);
    expect(agent.target.rules.size).to.equal(0);
  });

  it("gives the gate at once what comes while another target fails, and tries that one only when its wait is over", async () => {
    await using agent = setUp();
    await agent.reconciler.stands;
    agent.second.failures = 1_000;
    agent.set("203.0.113.7/32", 5_000);
    while (agent.second.calls.length < 7) await new Promise(setImmediate);
    const tried = agent.second.calls.length;
    agent.remove("203.0.113.7/32");
    agent.set("203.0.113.8/32", 5_000);
    // The second target's wait is 640 ms or more by now: these two turns of the loop take none of it.
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    expect([...agent.target.rules.keys()]).to.deep.equal(["ip 203.0.113.8/32"]);
    expect(agent.second.calls.length).to.equal(tried);
    const done = agent.applied(3);
    agent.second.failures = 0;
    await done;
    expect([...agent.second.rules.keys()]).to.deep.equal(["ip 203.0.113.8/32"]);
  });

  it("gives the gate at once what comes while another target is still at it, and that one afterwards, and tells when both have it", async () => {
    await using agent = setUp();
    await agent.stood();
    const slow = Promise.withResolvers<void>();
    agent.second.held = slow.promise;
    agent.set("203.0.113.7/32", 5_000);
    while (agent.second.calls.length < 2) await new Promise(setImmediate);
    agent.remove("203.0.113.7/32");
    while (agent.target.rules.size > 0 || agent.target.calls.length < 3) await new Promise(setImmediate);
    agent.set("203.0.113.8/32", 5_000);
    while (agent.target.rules.size === 0) await new Promise(setImmediate);
    expect(agent.second.calls).to.deep.equal(["resync", "apply 1"]);
    expect(agent.second.rules.size).to.equal(0);
    expect(agent.told).to.deep.equal([0]);
    expect(agent.disk.saves.at(-1)).to.equal("save 3 +1");
    // Late is not broken: load balancers are told nothing else than before.
    expect({ dirty: agent.reconciler.dirty, closed: agent.settled.closed }).to.deep.equal({ dirty: false, closed: false });
    const done = agent.applied(3);
    agent.second.held = null;
    slow.resolve();
    await done;
    expect(agent.second.calls).to.deep.equal(["resync", "apply 1", "apply 2"]);
    expect([...agent.second.rules.keys()]).to.deep.equal(["ip 203.0.113.8/32"]);
    expect(agent.told).to.deep.equal([0, 1, 3]);
  });

  it("tells what every target has though one is late with each change, and resolves a resync that is over", async () => {
    await using agent = setUp();
    await agent.stood();
    let slow = Promise.withResolvers<void>();
    await using _released = { [Symbol.asyncDispose]: async () => slow.resolve() };
    const slowNext = () => {
      const before = slow;
      slow = Promise.withResolvers<void>();
      agent.second.held = slow.promise;
      before.resolve();
    };
    slowNext();
    agent.set("203.0.113.1/32", 5_000);
    for (const last of [2, 3, 4]) {
      while (agent.second.calls.length < last) await new Promise(setImmediate);
      agent.set(`203.0.113.${last}/32`, 5_000);
      while (agent.target.rules.size < last) await new Promise(setImmediate);
      expect(agent.told.at(-1)).to.equal(last - 2);
      slowNext();
    }
    while (agent.second.calls.length < 5) await new Promise(setImmediate);
    expect(agent.told).to.deep.equal([0, 1, 2, 3]);
    const resynced = agent.reconciler.resync("a test asks", AbortSignal.timeout(30_000));
    slowNext();
    while (agent.second.calls.length < 6) await new Promise(setImmediate);
    while (agent.settled.closed) await agent.settled.passed();
    agent.set("203.0.113.6/32", 5_000);
    while (agent.target.rules.size < 5) await new Promise(setImmediate);
    slowNext();
    await resynced;
    expect(agent.second.calls).to.deep.equal(["resync", "apply 1", "apply 1", "apply 1", "apply 1", "resync"]);
    expect(agent.told).to.deep.equal([0, 1, 2, 3, 4, 4]);
  });

  it("resyncs no terminator for the number of addresses that came while it was late", async () => {
    await using agent = setUp();
    await agent.stood();
    agent.second.trustAlone = true;
    const slow = Promise.withResolvers<void>();
    await using _released = { [Symbol.asyncDispose]: async () => slow.resolve() };
    agent.second.held = slow.promise;
    agent.set("203.0.113.7/32", 5_000);
    while (agent.second.calls.length < 2) await new Promise(setImmediate);
    for (let number = 0; number <= 50_000; number++) agent.set(`2001:db8::${number.toString(16)}/128`, 5_000);
    while (agent.target.rules.size < 50_002) await new Promise(setImmediate);
    const done = agent.applied(50_002);
    agent.second.held = null;
    slow.resolve();
    await done;
    expect(agent.second.calls).to.deep.equal(["resync", "apply 1", "apply 0"]);
  });

  it("resyncs a target whole that failed when it was late, and resolves a resync that was asked for meanwhile after one of its own", async () => {
    await using agent = setUp();
    await agent.stood();
    const slow = Promise.withResolvers<void>();
    agent.second.held = slow.promise;
    agent.second.failures = 1;
    agent.set("203.0.113.7/32", 5_000);
    while (agent.second.calls.length < 2) await new Promise(setImmediate);
    const resynced = agent.reconciler.resync("a test asks", AbortSignal.timeout(30_000));
    while (agent.target.calls.length < 3) await new Promise(setImmediate);
    agent.set("203.0.113.8/32", 5_000);
    while (agent.target.rules.size < 2) await new Promise(setImmediate);
    expect(agent.second.calls).to.deep.equal(["resync", "apply 1"]);
    agent.second.held = null;
    slow.resolve();
    await resynced;
    expect(agent.second.calls.slice(0, 3)).to.deep.equal(["resync", "apply 1", "resync"]);
    expect([...agent.second.rules.keys()]).to.deep.equal(["ip 203.0.113.7/32", "ip 203.0.113.8/32"]);
  });

  it("stands for the first time when no target is at it any more", async () => {
    await using agent = setUp();
    const slow = Promise.withResolvers<void>();
    agent.second.held = slow.promise;
    while (agent.second.calls.length === 0) await new Promise(setImmediate);
    await agent.settled.passed();
    agent.set("203.0.113.7/32", 5_000);
    while (agent.target.rules.size === 0) await new Promise(setImmediate);
    expect(agent.reconciler.gateStands).to.equal(false);
    slow.resolve();
    await agent.reconciler.stands;
    expect(agent.reconciler.gateStands).to.equal(true);
  });

  it("saves what the gate has while another target fails, and tells nothing", async () => {
    await using agent = setUp();
    await agent.stood();
    const first = agent.applied(1);
    agent.set("203.0.113.7/32", 5_000);
    await first;
    agent.second.failures = 1_000;
    agent.remove("203.0.113.7/32");
    while (agent.disk.saves.length < 3) await new Promise(setImmediate);
    expect(agent.disk.saves.slice(0, 3)).to.deep.equal(["replace 0 =0", "save 1 +1", "save 2 +1"]);
    expect(agent.told).to.deep.equal([0, 1]);
  });
});
