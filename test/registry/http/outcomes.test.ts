import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { Outcomes } from "../../../registry/http/outcomes.ts";
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
});
