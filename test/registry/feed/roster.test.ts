import { expect } from "chai";
import type { WebSocket } from "ws";
import { CLOSE } from "../../../lib/feed/limits.ts";
import { closed, dial, hello, until } from "./agent.ts";
import { type Control, type Identity, startControl } from "./setup.ts";

describe("two programs with one agent's name", () => {
  let control: Control;
  let identity: Identity;

  beforeEach(async () => {
    control = await startControl(5_000, { now: () => Date.now(), monotonic: () => 0 });
    identity = await control.enroll("host1");
  });

  afterEach(async () => {
    await control[Symbol.asyncDispose]();
  });

  async function open(): Promise<WebSocket> {
    const socket = await dial(control, identity);
    if (typeof socket === "string") throw new Error(socket);
    return socket;
  }

  /** Says hello, and resolves once it was welcomed or sent off. */
  async function greet(socket: WebSocket, instance: string): Promise<void> {
    const answered = new Promise<void>((resolve) => {
      socket.once("message", () => resolve());
      socket.once("close", () => resolve());
    });
    socket.send(hello("host1", { instance }));
    await answered;
  }

  const facts = () => control.feed.agents().map(({ name, duplicates }) => [name, duplicates]);

  it("are an alarm, and the older is closed", async () => {
    const [older, newer] = [await open(), await open()];
    const code = closed(older);
    await greet(older, "one");
    await greet(newer, "two");
    expect(await code).to.equal(CLOSE.replaced);
    expect(facts()).to.deep.equal([["host1", 1]]);
    newer.terminate();
  });

  it("cannot take the feed from each other without end: within a second the one that has it keeps it", async () => {
    const [first, second, third] = [await open(), await open(), await open()];
    const code = closed(third);
    await greet(first, "one");
    await greet(second, "two");
    await greet(third, "one");
    expect(await code).to.equal(CLOSE.replaced);
    expect(second.readyState).to.equal(second.OPEN);
    expect(facts()).to.deep.equal([["host1", 2]]);
    second.terminate();
  });

  it("are told from one program that connects again while its old link is dead", async () => {
    const [older, newer] = [await open(), await open()];
    const code = closed(older);
    await greet(older, "one");
    await greet(newer, "one");
    expect(await code).to.equal(CLOSE.replaced);
    expect(facts()).to.deep.equal([["host1", 0]]);
    newer.terminate();
  });

  it("cost the one that works nothing while the other has not said hello", async () => {
    const older = await open();
    await greet(older, "one");
    const newer = await open();
    await until(() => control.seen.length === 2);
    expect(older.readyState).to.equal(older.OPEN);
    newer.terminate();
    older.terminate();
  });
});
