import { expect } from "chai";
import { CrlAges } from "../../agent/crl-ages.ts";
import { DesiredState } from "../../agent/desired.ts";

const HOUR_MS = 3_600_000;

describe("the age of lists of revoked certificates", () => {
  const set = (desired: DesiredState, id: string, thisUpdate: number, nextUpdate: number) => {
    const body = JSON.stringify({ number: 1, thisUpdate, nextUpdate, sha256: "0".repeat(64), bytes: 1, der: null });
    desired.change({ kind: "trust.set", target: "ca", id, body: "PEM" });
    desired.change({ kind: "trust.set", target: "crl", id, body });
  };

  it("is told an hour after half of its life, and again when it ran out, until the next one comes", () => {
    const desired = new DesiredState();
    const ages = new CrlAges();
    set(desired, "device-1a2b3c4d", 0, 20 * HOUR_MS);
    set(desired, "root-1a2b3c4d", 0, 1_000 * HOUR_MS);
    const at = [11 * HOUR_MS - 1, 11 * HOUR_MS, 20 * HOUR_MS - 1, 20 * HOUR_MS].map((now) => ages.look(desired, now));
    expect(at).to.deep.equal([
      { old: [], expired: [] },
      { old: ["device-1a2b3c4d"], expired: [] },
      { old: ["device-1a2b3c4d"], expired: [] },
      { old: [], expired: ["device-1a2b3c4d"] },
    ]);
    set(desired, "device-1a2b3c4d", 20 * HOUR_MS, 40 * HOUR_MS);
    expect(ages.look(desired, 20 * HOUR_MS)).to.deep.equal({ old: [], expired: [] });
    desired.change({ kind: "trust.remove", target: "crl", id: "device-1a2b3c4d" });
    expect(ages.look(desired, 41 * HOUR_MS)).to.deep.equal({ old: [], expired: [] });
  });

  it("is told of what came as a whole state too", () => {
    const [desired, next] = [new DesiredState(), new DesiredState()];
    set(next, "device-1a2b3c4d", 0, 20 * HOUR_MS);
    desired.adopt(next);
    expect(new CrlAges().look(desired, 20 * HOUR_MS).expired).to.deep.equal(["device-1a2b3c4d"]);
  });
});
