import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { Outcomes } from "../../../registry/http/outcomes.ts";
import type { Builder, Command, Store, Topic } from "../../../registry/store/store.ts";
import { Harness } from "../process/harness.ts";

describe("those who wait for outcomes", () => {
  it("are told at once what is there, however many come together and although nothing happens meanwhile", async () => {
    await using harness = await Harness.open();
    await using _process = await harness.process();
    const code = await harness.code({}, { uses: 3 });
    const ids: string[] = [];
    for (let device = 0; device < 3; device++) ids.push(String((await harness.register(code)).body.id));
    using outcomes = new Outcomes(harness.store, silentLog);
    // A repeat under its Idempotency-Key waits so; the one that is not told in time is answered "stored" for what was done long ago.
    const told = await Promise.all(ids.map((id) => outcomes.wait(id, null, 5_000)));
    expect(told.map((each) => each?.outcome.submission)).to.deep.equal(ids);
  });

  it("are asked for by themselves when they come, and all together when there is news", async () => {
    await using harness = await Harness.open();
    const asked: unknown[] = [];
    function* noting<T>(command: Command<T>): Command<T> {
      let step = command.next();
      while (!step.done) {
        asked.push(step.value.parameters);
        step = command.next((yield step.value) as readonly unknown[]);
      }
      return step.value;
    }
    const { store } = harness;
    const spied = {
      read: <T>(command: (db: Builder) => Command<T>) => store.read((db) => noting(command(db))),
      watch: (topic: Topic, listener: () => void) => store.watch(topic, listener),
    };
    using outcomes = new Outcomes(spied as Store, silentLog);
    const waiting = [outcomes.wait("a", outcomes.wakes, 60_000), outcomes.wait("b", null, 60_000)];
    expect(asked).to.deep.equal([["b"]]);
    await store.write(function* () {}, ["outcome"]);
    expect(asked).to.deep.equal([["b"], ["a", "b"]]);
    outcomes[Symbol.dispose]();
    expect(await Promise.all(waiting)).to.deep.equal([null, null]);
  });
});
