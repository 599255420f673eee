import { expect } from "chai";
import { runUpdates } from "./run.ts";

describe("updates of trust under load", function () {
  this.timeout(180_000);

  it("refuse not one request of a valid device: lists, a rotation, a reload and a restart of the agent", async () => {
    const { signal } = new AbortController();
    const { updates, answered, refused } = await runUpdates({
      ...{ name: `t-updates-${process.pid}`, lists: 2, reloads: 1, signal },
      progress: () => {},
    });
    expect(refused).to.deep.equal([]);
    expect(updates).to.deep.equal([
      "a certificate is revoked and its CA's list renewed, 1",
      "the device CA is rotated",
      "HAProxy is reloaded, 1",
      "a certificate is revoked and its CA's list renewed, 2",
      "the agent restarts",
    ]);
    for (const count of Object.values(answered)) expect(count).to.be.at.least(5 * 3 * 10);
  });
});
