import { expect } from "chai";
import { startRegistry } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";
import { makingCode } from "./operating.ts";
import { PROFILES, Stand } from "./stand.ts";
import { stop } from "./stop.ts";
import { Registering } from "./submitting.ts";

const USES = 60;
const ASKED = 90;
/** Answers after which the registry is killed, in turn. */
const KILL_AFTER = [1, 20, 45];

describe("a registry killed in the middle of commits", function () {
  this.timeout(300_000);

  it("enrols exactly as many devices as the code has uses, each answer for good, whatever the kill cut off", async () => {
    await using stand = await Stand.open({ name: `t-killed-${process.pid}` });
    const { deed, code } = makingCode(stand.model, stand.control, PROFILES.long, USES);
    expect(await deed.ask()).to.equal(true);
    const { model, send, registry } = stand;
    let open = Array.from({ length: ASKED }, (_, i) => new Registering(model, send, registry, code, [`198.18.3.${i + 1}`]));
    const answered: Registering[] = [];
    for (const kills of KILL_AFTER) {
      const round = open.map(async (each) => {
        if (await each.ask()) answered.push(each);
      });
      await waitFor(`${kills} answers`, () => answered.length >= kills || undefined, { everyMs: 1 });
      await stop(stand.plan, "registry");
      await Promise.all(round);
      open = open.filter((each) => !answered.includes(each));
      await startRegistry(stand.plan);
    }
    await waitFor("all answers", async () => (await Promise.all(open.map((each) => each.ask()))).every(Boolean) || undefined);
    // A repetition of what was answered before a kill is told the same after it; one that is told nothing in time is asked again.
    await waitFor("all repeats", async () => (await Promise.all(answered.map((each) => each.ask()))).every(Boolean) || undefined);
    expect(code.enrolled).to.equal(USES);
    expect(model.devices.size).to.equal(USES);
    expect(await stand.check()).to.deep.equal([]);
  });
});
