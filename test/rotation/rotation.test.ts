import { expect } from "chai";
import { runRotations } from "./run.ts";

describe("rotations of all CAs under load", function () {
  this.timeout(400_000);

  it("refuse nobody: registrations, renewals, feeds and operators, with the old root pinned and with the new one", async () => {
    const { steps, lists, done, refused, doubted } = await runRotations({ lists: 4, progress: () => {} });
    expect(refused).to.deep.equal([]);
    expect(steps).to.deep.equal([
      "device CA rotated",
      "infrastructure CA rotated",
      "root rotated",
      "infrastructure CA rotated",
      "device CA rotated",
    ]);
    expect(lists).to.be.at.least(4);
    expect(doubted).to.deep.equal({ "gate-1": 0, "gate-2": 0, "open-1": 0, "gate-3": 0 });
    for (const count of Object.values(done)) expect(count).to.be.at.least(10);
  });
});
