import { expect } from "chai";
import { systemClock } from "../../../lib/clock.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import { silentLog } from "../../../lib/log.ts";
import { Publisher } from "../../../registry/feed/publisher.ts";
import { RecentChanges } from "../../../registry/feed/recent.ts";
import { all } from "../../../registry/store/store.ts";
import { closed, dial, hello, set, startAgent, until } from "./agent.ts";
import { type Control, head, startControl } from "./setup.ts";

const crl = (id: string): Change => ({ kind: "trust.set", target: "crl", id, body: "x".repeat(350_000) });
/** A change that is as long as a certificate's may be. */
const long = (id: number): Change => ({ kind: "trust.set", target: "certificate", id: `c${id}`, body: "x".repeat(1_000) });

describe("the feed's bounds", () => {
  let control: Control;

  beforeEach(async () => {
    control = await startControl(20_000);
  });

  afterEach(async () => {
    await control[Symbol.asyncDispose]();
  });

  it("spread a snapshot's trust over messages that any agent takes", async () => {
    await control.commit(...Array.from({ length: 12 }, (_, i) => crl(`ca-${i}`)));
    await using agent = startAgent(control, "host1", await control.enroll("host1"));
    await until(() => agent.desired.revision === 12);
    expect(agent.desired.digest).to.equal((await head(control)).digest);
    expect(agent.effects).to.deep.equal(["replaced"]);
  });

  it("spread changes over messages that any agent takes", async () => {
    await using agent = startAgent(control, "host1", await control.enroll("host1"));
    await until(() => control.feed.agents()[0]?.phase === "live");
    await control.commit(...Array.from({ length: 12 }, (_, i) => crl(`ca-${i}`)));
    await until(() => agent.desired.revision === 12);
    expect(agent.desired.digest).to.equal((await head(control)).digest);
    expect(new Set(agent.effects)).to.deep.equal(new Set(["replaced", "changed"]));
  });

  it("never give a revision another one's number when the change log was cut meanwhile", async () => {
    await control.commit(...[1, 2, 3, 4, 5].map(set));
    await using publisher = await Publisher.start(control.store, systemClock, silentLog);
    await control.store.write((db) => all(db.deleteFrom("changes").where("revision", "<=", 3)));
    expect(await publisher.pageAfter(1)).to.equal("gone");
    expect(await publisher.pageAfter(3)).to.deep.include({ to: 5 });
    expect(await publisher.pageAfter(5)).to.equal(null);
  });

  it("hold the newest changes in memory by number and by size", () => {
    const recent = new RecentChanges(100);
    for (let n = 0; n < 12_500; n++) recent.push(`${n}`);
    expect([recent.last, recent.from(2_600, 2), recent.from(2_601, 2), recent.from(12_601, 2)]).to.deep.equal([
      12_600,
      null,
      ["2500", "2501"],
      null,
    ]);
    const large = new RecentChanges(0);
    for (let n = 0; n < 40; n++) large.push("x".repeat(1 << 20));
    expect(large.from(1, 1)).to.equal(null);
    expect(large.from(large.last, 1)?.[0]).to.have.length(1 << 20);
  });

  it("drop an agent that reads nothing while 100,000 changes pass back to a snapshot; nothing is queued for it", async function () {
    this.timeout(240_000);
    const socket = await dial(control, await control.enroll("host1"));
    if (typeof socket === "string") throw new Error(socket);
    const done = Promise.withResolvers<number>();
    let byChanges = 0;
    socket.on("message", (data) => {
      const message = JSON.parse(String(data));
      if (message.type === "changes") byChanges += message.changes.length;
      if (message.type === "snapshot.end" && message.revision > 0) done.resolve(message.revision);
    });
    const welcomed = new Promise((resolve) => socket.once("message", resolve));
    socket.send(hello());
    await welcomed;
    await until(() => control.feed.agents()[0]?.phase === "live");
    socket.pause();
    for (let n = 0; n < 100; n++) await control.commit(...Array.from({ length: 1_000 }, (_, i) => long(i % 50)));
    expect(control.feed.agents()).to.have.length(1);
    socket.resume();
    expect(await done.promise).to.equal(100_000);
    // 110 MB passed; what it got as changes is what the kernel's buffers took.
    expect(byChanges).to.be.below(50_000);
    const ended = closed(socket);
    socket.terminate();
    await ended;
  });
});
