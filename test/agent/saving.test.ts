import { expect } from "chai";
import { Disk, SaveError } from "../../agent/saving.ts";
import { silentLog } from "../../lib/log.ts";

describe("the disk that keeps what is applied", () => {
  it("holds nothing of a round in which it was not written, though it may be tried again by its end", async () => {
    const saves: string[] = [];
    const state = {
      save: () => saves.push("save"),
      begin: () => ({ step: () => false, commit: () => saves.push("whole"), [Symbol.dispose]: () => {} }),
    };
    const disk = new Disk(state, false, silentLog);
    const said = await disk.store({ epoch: "e1", revision: 7, digest: "d", seenMs: 0 }, null).catch((error: unknown) => error);
    expect(said).to.be.instanceOf(SaveError);
    expect({ saves, whole: disk.whole, wantsWhole: disk.wantsWhole }).to.deep.equal({ saves: [], whole: false, wantsWhole: true });
  });
});
