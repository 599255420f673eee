import { getEventListeners } from "node:events";
import { expect } from "chai";
import { delay, Following, Wakeup } from "../../lib/abort.ts";

const reason = new Error("enough");
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "resolved",
    (error: unknown) => error,
  );
const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

describe("delay", () => {
  it("resolves after its time and leaves no listener", async () => {
    const { signal } = new AbortController();
    const before = performance.now();
    await delay(20, signal);
    expect(performance.now() - before).to.be.greaterThan(18);
    expect(listeners(signal)).to.equal(0);
  });

  it("rejects with the signal's reason at once, when aborted before and when aborted meanwhile", async () => {
    expect(await failure(delay(60_000, AbortSignal.abort(reason)))).to.equal(reason);
    const controller = new AbortController();
    const waiting = failure(delay(60_000, controller.signal));
    controller.abort(reason);
    expect(await waiting).to.equal(reason);
    expect(listeners(controller.signal)).to.equal(0);
  });
});

describe("a wakeup", () => {
  it("wakes all who wait, once", async () => {
    const wakeup = new Wakeup();
    const { signal } = new AbortController();
    const seen = wakeup.count;
    const waiting = Promise.all([wakeup.after(seen, signal), wakeup.after(seen, signal)]);
    wakeup.ring();
    await waiting;
    expect(wakeup.count).to.equal(1);
    expect(listeners(signal)).to.equal(0);
  });

  it("misses nothing that was rung between looking and waiting", async () => {
    const wakeup = new Wakeup();
    const seen = wakeup.count;
    wakeup.ring();
    await wakeup.after(seen, new AbortController().signal);
  });

  it("keeps nobody waiting for a ring that was seen", async () => {
    const wakeup = new Wakeup();
    wakeup.ring();
    const controller = new AbortController();
    const waiting = failure(wakeup.after(wakeup.count, controller.signal));
    expect(await Promise.race([waiting, Promise.resolve("waits")])).to.equal("waits");
    controller.abort(reason);
    expect(await waiting).to.equal(reason);
  });

  it("rejects with the signal's reason, and its next ring wakes the others", async () => {
    const wakeup = new Wakeup();
    const controller = new AbortController();
    const given = failure(wakeup.after(0, controller.signal));
    const patient = wakeup.after(0, new AbortController().signal);
    controller.abort(reason);
    expect(await given).to.equal(reason);
    wakeup.ring();
    await patient;
    expect(await failure(wakeup.after(1, AbortSignal.abort(reason)))).to.equal(reason);
  });

  it("waits no longer than it is told to, and leaves no listener", async () => {
    const wakeup = new Wakeup();
    const { signal } = new AbortController();
    const before = performance.now();
    await wakeup.after(0, signal, 20);
    expect(performance.now() - before).to.be.greaterThan(18);
    expect(listeners(signal)).to.equal(0);
    const rung = wakeup.after(0, signal, 60_000);
    wakeup.ring();
    await rung;
    expect(listeners(signal)).to.equal(0);
  });
});

describe("a signal that follows others", () => {
  it("aborts with the first of them, with its reason, and when one has aborted before", () => {
    const [one, other] = [new AbortController(), new AbortController()];
    using following = new Following(one.signal, other.signal);
    expect(following.signal.aborted).to.equal(false);
    other.abort(reason);
    one.abort(new Error("too late"));
    expect(following.signal.reason).to.equal(reason);
    using late = new Following(new AbortController().signal, other.signal);
    expect(late.signal.reason).to.equal(reason);
  });

  it("leaves nothing on them when it is let go of", () => {
    const { signal } = new AbortController();
    {
      using _ = new Following(signal, new AbortController().signal);
      expect(listeners(signal)).to.equal(1);
    }
    expect(listeners(signal)).to.equal(0);
  });
});
