import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { DesiredState } from "../../../agent/desired.ts";
import { systemClock } from "../../../lib/clock.ts";
import { CLOSE, FEED } from "../../../lib/feed/limits.ts";
import { first } from "../../../registry/store/store.ts";
import { closed, dial, FAR, hello, set, startAgent, until } from "./agent.ts";
import { type Control, head, startControl } from "./setup.ts";

describe("feed over mutual TLS", () => {
  let control: Control;

  beforeEach(async () => {
    control = await startControl();
  });

  afterEach(async () => {
    await control[Symbol.asyncDispose]();
  });

  it("brings a snapshot, then each change, and learns what stands and how long it took", async () => {
    await control.commit(set(1), set(2));
    await using agent = startAgent(control, "host1", await control.enroll("host1"));
    await until(() => agent.desired.revision === 2);
    await control.commit(set(3), { kind: "rule.remove", lane: "ip", prefix: "203.0.113.1/32" });
    await until(() => control.feed.agents()[0]?.revision === 4);
    expect([...agent.desired.rules()].map((rule) => rule.prefix)).to.have.members(["203.0.113.2/32", "203.0.113.3/32"]);
    expect(agent.desired.digest).to.equal((await head(control)).digest);
    expect(agent.effects).to.deep.equal(["replaced", "changed"]);
    expect(control.feed.agents()[0]?.digest).to.equal(agent.desired.digest);
    await until(async () => {
      const row = await control.store.read((db) => first(db.selectFrom("agents").select("acked_revision").where("name", "=", "host1")));
      return row?.acked_revision === 4;
    });
  });

  it("resumes by revision after the registry was away: no snapshot, nothing lost, nothing twice", async () => {
    await control.commit(set(1));
    await using agent = startAgent(control, "host1", await control.enroll("host1"));
    await until(() => agent.desired.revision === 1);
    await control.restart();
    await control.commit(set(2), set(3));
    await until(() => agent.desired.revision === 3);
    expect(agent.effects.filter((effect) => effect === "replaced")).to.deep.equal(["replaced"]);
    expect(agent.desired.digest).to.equal((await head(control)).digest);
  });

  it("catches up page by page when far behind", async () => {
    await control.commit(set(1));
    const desired = new DesiredState();
    const identity = await control.enroll("host1");
    {
      await using agent = startAgent(control, "host1", identity, desired);
      await until(() => agent.desired.revision === 1);
    }
    for (let i = 0; i < 25; i++) await control.commit(...Array.from({ length: 100 }, (_, n) => set((i * 100 + n) % 250)));
    await using agent = startAgent(control, "host1", identity, desired);
    await until(() => agent.desired.revision === 2_501);
    expect(agent.effects.includes("replaced")).to.equal(false);
    expect(agent.desired.digest).to.equal((await head(control)).digest);
  });

  it("gives a snapshot to an agent of another epoch", async () => {
    await control.commit(set(1));
    const desired = new DesiredState();
    desired.epoch = "e0";
    desired.revision = 70;
    desired.load({ lane: "ip", prefix: "203.0.113.99/32", expiresAt: FAR });
    await using agent = startAgent(control, "host1", await control.enroll("host1"), desired);
    await until(() => agent.desired.epoch === "e1" && agent.desired.revision === 1);
    expect([...desired.rules()].map((rule) => rule.prefix)).to.deep.equal(["203.0.113.1/32"]);
  });

  it("finds a wrong digest by heartbeat and asks for a snapshot", async () => {
    await control.commit(set(1));
    await using agent = startAgent(control, "host1", await control.enroll("host1"));
    await until(() => agent.desired.revision === 1);
    agent.desired.load({ lane: "ip", prefix: "203.0.113.66/32", expiresAt: FAR });
    await until(() => agent.effects.length === 2);
    expect(agent.effects).to.deep.equal(["replaced", "replaced"]);
    expect([...agent.desired.rules()].map((rule) => rule.prefix)).to.deep.equal(["203.0.113.1/32"]);
  });

  it("waits with messages while a resync holds the desired state", async () => {
    await using agent = startAgent(control, "host1", await control.enroll("host1"));
    await until(() => agent.desired.epoch === "e1");
    agent.settled.close();
    for (let n = 1; n <= 30; n++) await control.commit(set(n));
    await until(() => control.feed.agents().length === 1);
    expect(agent.desired.revision).to.equal(0);
    agent.settled.open();
    await until(() => agent.desired.revision === 30);
  });

  it("reads no HTTP byte without a certificate, or from another CA's", async () => {
    const other = await startControl();
    try {
      const stranger = await other.enroll("host1");
      expect(await dial(control, null)).to.be.a("string");
      expect(await dial(control, stranger)).to.be.a("string");
      expect(control.seen).to.deep.equal([]);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it("refuses an operator's certificate, an agent that is not enrolled, a replaced certificate, a browser and another path", async () => {
    const operator = await control.enroll("anna", "operator");
    expect(await dial(control, operator)).to.equal("Unexpected server response: 403");
    const old = await control.enroll("host1");
    const agent = await control.enroll("host1b");
    expect(await dial(control, agent, { origin: "https://control.example" })).to.equal("Unexpected server response: 403");
    expect(await dial(control, agent, { path: "/v1/feed?x" })).to.equal("Unexpected server response: 403");
    await control.store.write((db) => first(db.updateTable("agents").set({ fingerprint: "00" }).where("name", "=", "host1")));
    expect(await dial(control, old)).to.equal("Unexpected server response: 403");
    await control.store.write((db) => first(db.updateTable("agents").set({ revoked_at: 1 }).where("name", "=", "host1b")));
    expect(await dial(control, agent)).to.equal("Unexpected server response: 403");
  });

  const bad: [string, string | Buffer, number][] = [
    ["text that is not JSON", "hello", CLOSE.protocol],
    ["a hello in another agent's name", hello("host2"), CLOSE.unknownAgent],
    ["a hello without a revision", hello("host1", { revision: undefined }), CLOSE.protocol],
    ["a heartbeat before hello", `{"type":"heartbeat","epoch":null,"revision":0,"digest":"${"0".repeat(32)}","time":1}`, CLOSE.protocol],
    ["a binary message", Buffer.from("{}"), CLOSE.protocol],
    ["a message over the bound", "x".repeat(FEED.maxMessageBytes + 1), 1009],
  ];
  for (const [what, message, code] of bad) {
    it(`closes the feed with its code on ${what}`, async () => {
      const socket = await dial(control, await control.enroll("host1"));
      if (typeof socket === "string") throw new Error(socket);
      const ended = closed(socket);
      socket.send(message);
      expect(await ended).to.equal(code);
    });
  }

  it("skips a message of a type that a later version may send", async () => {
    const socket = await dial(control, await control.enroll("host1"));
    if (typeof socket === "string") throw new Error(socket);
    const welcome = new Promise((resolve) => socket.once("message", (data) => resolve(JSON.parse(String(data)).type)));
    socket.send('{"type":"capabilities","zstd":true}');
    socket.send(hello());
    expect(await welcome).to.equal("welcome");
    socket.terminate();
  });

  it("ends a feed that fell silent, and one that was revoked", async () => {
    const identity = await control.enroll("host1");
    const silent = await dial(control, identity);
    if (typeof silent === "string") throw new Error(silent);
    silent.send(hello());
    expect(await closed(silent)).to.equal(1006);
    const revoked = await dial(control, identity);
    if (typeof revoked === "string") throw new Error(revoked);
    const code = closed(revoked);
    control.feed.disconnect("host1");
    expect(await code).to.equal(CLOSE.revoked);
  });

  it("ends a feed whose certificate ran out, at the next heartbeat and not before", async () => {
    let ahead = 0;
    await using aged = await startControl(1_000, { now: () => systemClock.now() + ahead, monotonic: () => systemClock.monotonic() });
    const identity = await aged.enroll("host1");
    const socket = await dial(aged, identity);
    if (typeof socket === "string") throw new Error(socket);
    const code = closed(socket);
    const heartbeat = new Promise<void>((resolve) => {
      socket.on("message", (data) => {
        if (String(data).includes('"heartbeat"')) resolve();
      });
    });
    const left = Date.parse(new X509Certificate(readFileSync(identity.certificate)).validTo) - systemClock.now();
    ahead = left - 60_000;
    socket.send(hello());
    await heartbeat;
    expect(socket.readyState).to.equal(socket.OPEN);
    ahead = left + 1_000;
    expect(await code).to.equal(4405);
  });
});
