import { readFileSync } from "node:fs";
import { expect } from "chai";
import { WebSocket } from "ws";
import { parseAgentConfig } from "../../../agent/config.ts";
import { DesiredState } from "../../../agent/desired.ts";
import { FeedClient } from "../../../agent/feed/client.ts";
import { RegistryTime } from "../../../agent/time.ts";
import { systemClock } from "../../../lib/clock.ts";
import { CLOSE, FEED } from "../../../lib/feed/limits.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import { Latch } from "../../../lib/latch.ts";
import { silentLog } from "../../../lib/log.ts";
import { first } from "../../../registry/store/store.ts";
import { type Control, head, type Identity, startControl } from "./setup.ts";

const FAR = 4_000_000_000_000;
const set = (n: number): Change => ({ kind: "rule.set", lane: "ip", prefix: `203.0.113.${n}/32`, expiresAt: FAR });

/** The agent's own feed client, which takes what it is told as applied at once. */
function startAgent(control: Control, name: string, identity: Identity, desired = new DesiredState()) {
  const config = parseAgentConfig("test", `name: ${name}\nregistry: ${JSON.stringify({ addresses: [control.url], ...identity })}\n`);
  const abort = new AbortController();
  const settled = new Latch();
  const effects: string[] = [];
  const client: FeedClient = new FeedClient({
    config,
    version: "0.0.0",
    desired,
    time: new RegistryTime(systemClock),
    clock: systemClock,
    log: silentLog,
    settled,
    onEffect: (effect) => {
      if (effect.kind === "none") return;
      effects.push(effect.kind);
      client.applied(1.5);
    },
    acknowledged: () => ({ epoch: desired.epoch, revision: desired.revision, digest: desired.digest, tookMs: 0 }),
  });
  const running = client.run(abort.signal);
  return {
    client,
    desired,
    effects,
    settled,
    async [Symbol.asyncDispose]() {
      abort.abort();
      await running;
    },
  };
}

/** Resolves when the condition holds, looking at every turn of the event loop; the test's own time limit bounds it. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** A bare WebSocket with an identity; resolves to how it ended: "open", or the error. */
function dial(
  control: Control,
  identity: Identity | null,
  options: { path?: string; protocol?: string; origin?: string } = {},
): Promise<WebSocket | string> {
  return new Promise((resolve) => {
    const files = identity === null ? {} : { cert: readFileSync(identity.certificate), key: readFileSync(identity.key) };
    const socket = new WebSocket(
      `${control.url.replace("https", "wss")}${options.path ?? FEED.path}`,
      options.protocol ?? FEED.subprotocol,
      {
        rejectUnauthorized: false,
        ...files,
        ...(options.origin === undefined ? {} : { origin: options.origin }),
      },
    );
    socket.on("open", () => resolve(socket));
    socket.on("error", (error) => resolve(error.message));
  });
}

const closed = (socket: WebSocket) => new Promise<number>((resolve) => socket.once("close", resolve));

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

  it("makes an agent that is ahead wait, and never resync it", async () => {
    const desired = new DesiredState();
    desired.epoch = "e1";
    desired.revision = 2;
    desired.load({ lane: "ip", prefix: "203.0.113.99/32", expiresAt: FAR });
    await control.commit(set(1));
    await using agent = startAgent(control, "host1", await control.enroll("host1"), desired);
    await until(() => agent.client.address !== null);
    await control.commit(set(2));
    await control.commit(set(3));
    await until(() => agent.desired.revision === 3);
    expect(agent.effects).to.deep.equal(["changed"]);
    expect([...desired.rules()].map((rule) => rule.prefix)).to.deep.equal(["203.0.113.99/32", "203.0.113.3/32"]);
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

  it("closes the older of two feeds with one agent id", async () => {
    const identity = await control.enroll("host1");
    const older = await dial(control, identity);
    if (typeof older === "string") throw new Error(older);
    const code = closed(older);
    const newer = await dial(control, identity);
    if (typeof newer === "string") throw new Error(newer);
    expect(await code).to.equal(CLOSE.replaced);
    expect(control.feed.agents().map((fact) => fact.name)).to.deep.equal(["host1"]);
    newer.terminate();
  });

  const bad: [string, string | Buffer, number][] = [
    ["text that is not JSON", "hello", CLOSE.protocol],
    ["a hello in another agent's name", '{"type":"hello","agent":"host2","version":"1","epoch":null,"revision":0}', CLOSE.unknownAgent],
    ["a hello without a revision", '{"type":"hello","agent":"host1","version":"1","epoch":null}', CLOSE.protocol],
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
    socket.send('{"type":"hello","agent":"host1","version":"1","epoch":null,"revision":0}');
    expect(await welcome).to.equal("welcome");
    socket.terminate();
  });

  it("ends a feed that fell silent, and one that was revoked", async () => {
    const identity = await control.enroll("host1");
    const silent = await dial(control, identity);
    if (typeof silent === "string") throw new Error(silent);
    silent.send('{"type":"hello","agent":"host1","version":"1","epoch":null,"revision":0}');
    expect(await closed(silent)).to.equal(1006);
    const revoked = await dial(control, identity);
    if (typeof revoked === "string") throw new Error(revoked);
    const code = closed(revoked);
    control.feed.disconnect("host1");
    expect(await code).to.equal(CLOSE.revoked);
  });
});
