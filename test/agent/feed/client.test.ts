import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { expect } from "chai";
import { type WebSocket, WebSocketServer } from "ws";
import { DesiredState } from "../../../agent/desired.ts";
import { CLOSE, FEED } from "../../../lib/feed/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { set, startAgent, until } from "../../registry/feed/agent.ts";
import { type Control, type Identity, startControl } from "../../registry/feed/setup.ts";

const NONE = "0".repeat(32);
/** It says no heartbeats: an agent takes it for dead after three of them. */
const welcome = { type: "welcome", epoch: "e1", revision: 0, time: 1, heartbeatMs: 5_000 };
const snapshot = [
  { type: "snapshot.begin", epoch: "e1", revision: 0, rules: 0, trust: 0 },
  { type: "snapshot.end", revision: 0, digest: NONE, time: 1 },
];

/** A registry that says what the test lets it say, under the real one's certificate. */
class Scripted implements AsyncDisposable {
  readonly #server;
  readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: () => FEED.subprotocol });
  /** Everything that agents said, in order. */
  readonly heard: Record<string, unknown>[] = [];
  readonly connections: WebSocket[] = [];
  /** Fingerprints of the certificates that they came with. */
  readonly shown: string[] = [];

  constructor(control: Control) {
    this.#server = control.listener();
    this.#server.on("upgrade", (request, socket, head) => {
      this.#sockets.handleUpgrade(request, socket, head, (opened) => {
        this.connections.push(opened);
        this.shown.push((request.socket as TLSSocket).getPeerCertificate().fingerprint256);
        opened.on("message", (data) => this.heard.push(JSON.parse(String(data))));
      });
    });
  }

  async listen(): Promise<{ url: string }> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return { url: `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}` };
  }

  /** Waits for the n-th connection's hello, and says something to it. */
  async say(connection: number, ...messages: readonly object[]): Promise<WebSocket> {
    await until(() => this.heard.filter((message) => message.type === "hello").length > connection);
    const socket = this.connections[connection];
    if (socket === undefined) throw new Error("not connected");
    for (const message of messages) socket.send(JSON.stringify(message));
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.connections) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe("the agent's side of the feed", () => {
  let control: Control;
  let identity: Identity;

  before(async () => {
    control = await startControl();
    identity = await control.enroll("host1");
  });
  after(() => control[Symbol.asyncDispose]());

  it("skips and counts messages of types that a later registry may send", async () => {
    await using registry = new Scripted(control);
    await using agent = startAgent(await registry.listen(), "host1", identity);
    await registry.say(0, welcome, { type: "weather", sun: true }, ...snapshot, { type: "weather" });
    await until(() => agent.client.unknownMessages === 2);
    expect([agent.desired.epoch, agent.effects]).to.deep.equal(["e1", ["replaced"]]);
  });

  it("says that it lives while it holds nothing yet, however long its first snapshot takes", async () => {
    await using registry = new Scripted(control);
    await using _agent = startAgent(await registry.listen(), "host1", identity);
    await registry.say(0, { ...welcome, heartbeatMs: 1_500 }, snapshot[0] ?? {});
    const heartbeats = () => registry.heard.filter((message) => message.type === "heartbeat").length;
    await until(() => heartbeats() > 0);
    await registry.say(0, { type: "weather" });
    await until(() => heartbeats() > 1);
    const { type, epoch, revision, digest } = registry.heard.find((message) => message.type === "heartbeat") ?? {};
    expect({ type, epoch, revision, digest }).to.deep.equal({ type: "heartbeat", epoch: null, revision: 0, digest: NONE });
  });

  it("takes a planned end for none, and says so once", async () => {
    const lines: string[] = [];
    const add = (level: string) => (_fields: object, message: string) => void lines.push(`${level} ${message}`);
    const log = { debug: add("debug"), info: add("info"), warn: add("warn"), error: add("error") };
    await using registry = new Scripted(control);
    await using agent = startAgent(await registry.listen(), "host1", identity, undefined, log);
    const socket = await registry.say(0, welcome, ...snapshot, { type: "restart", spreadMs: 0 });
    await until(() => agent.desired.epoch === "e1");
    socket.close(4503, "the registry stops");
    await registry.say(1, welcome);
    await until(() => lines.filter((line) => line.endsWith("Feed open")).length === 2);
    expect(lines).to.deep.equal(["info Feed open", "info The registry ended the feed as planned; what stands stays", "info Feed open"]);
  });

  it("comes back soon when its feed ended with its certificate (4405), with the one that its files hold by then, and keeps what it holds", async () => {
    const inFile = () => new X509Certificate(readFileSync(identity.certificate)).fingerprint256;
    await using registry = new Scripted(control);
    await using agent = startAgent(await registry.listen(), "host1", identity);
    const socket = await registry.say(0, welcome, ...snapshot);
    await until(() => agent.desired.epoch === "e1");
    const first = inFile();
    await control.enroll("host1");
    socket.close(CLOSE.certificateEnded, "the certificate ran out");
    await registry.say(1, welcome);
    expect(inFile()).not.to.equal(first);
    expect(registry.shown).to.deep.equal([first, inFile()]);
    expect(registry.heard.filter(({ type }) => type === "hello").map(({ epoch }) => epoch)).to.deep.equal([null, "e1"]);
  });

  it("takes nothing in at the door that what came before it closes", async () => {
    await using registry = new Scripted(control);
    const closed: boolean[] = [];
    const onEffect = () => {
      closed.push(agent.settled.closed);
      // As the reconciler does that was woken by it.
      queueMicrotask(() => agent.settled.close());
    };
    const options = { onEffect };
    await using agent = startAgent(await registry.listen(), "host1", identity, new DesiredState(), silentLog, options);
    const socket = await registry.say(0, welcome, ...snapshot);
    await until(() => agent.settled.closed);
    await registry.say(0, ...[1, 2].map((n) => ({ type: "changes", from: n, changes: [set(n)], time: 1 })));
    const heard = new Promise((resolve) => socket.once("pong", resolve));
    socket.ping();
    await heard;
    agent.settled.open();
    await until(() => agent.settled.closed);
    agent.settled.open();
    await until(() => agent.desired.revision === 2);
    expect(closed).to.deep.equal([false, false, false]);
  });

  it("drops what a lost connection left waiting at the door of a resync", async () => {
    await using registry = new Scripted(control);
    await using agent = startAgent(await registry.listen(), "host1", identity);
    await registry.say(0, welcome, ...snapshot);
    await until(() => agent.desired.epoch === "e1");
    agent.settled.close();
    const socket = await registry.say(0, { type: "changes", from: 1, changes: [set(1)], time: 1 });
    const heard = new Promise((resolve) => socket.once("pong", resolve));
    socket.ping();
    await heard;
    socket.close(4503, "try again");
    await registry.say(1, welcome);
    agent.settled.open();
    await registry.say(1, { type: "changes", from: 1, changes: [set(2)], time: 1 });
    await until(() => agent.desired.revision === 1);
    expect([...agent.desired.rules()].map((rule) => rule.prefix)).to.deep.equal(["203.0.113.2/32"]);
    expect(registry.heard.filter((message) => message.type === "hello").map((message) => message.revision)).to.deep.equal([0, 0]);
  });
});
