import { expect } from "chai";
import { type Living, watchOver } from "../../agent/watchdog.ts";
import { silentLog } from "../../lib/log.ts";

describe("the watchdog", () => {
  it("tells each round which parts did not answer", async () => {
    const abort = new AbortController();
    const rounds: (readonly string[])[] = [];
    let asked = 0;
    const well: Living = { name: "well", answers: async () => {} };
    const ill: Living = {
      name: "ill",
      answers: async () => {
        if (asked++ === 1) throw new Error("no answer");
      },
    };
    const onRound = (silent: readonly string[]) => {
      rounds.push(silent);
      if (rounds.length === 3) abort.abort();
    };
    await watchOver({ parts: [well, ill], everyMs: 1, onRound, log: silentLog, signal: abort.signal });
    expect(rounds).to.deep.equal([[], ["ill"], []]);
  });

  it("tells nothing while a part neither answers nor fails", async () => {
    const abort = new AbortController();
    const held = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    let rounds = 0;
    const answers = () => {
      asked.resolve();
      return held.promise;
    };
    const onRound = () => {
      rounds++;
      abort.abort();
    };
    const watching = watchOver({ parts: [{ name: "hung", answers }], everyMs: 1, onRound, log: silentLog, signal: abort.signal });
    await asked.promise;
    await new Promise(setImmediate);
    expect(rounds).to.equal(0);
    held.resolve();
    await watching;
    expect(rounds).to.equal(1);
  });
});
