import { expect } from "chai";
import { Alarms, tolerateDisk } from "../../agent/alarms.ts";
import { silentLog } from "../../lib/log.ts";

describe("alarms", () => {
  it("are told once when they begin and once when they are over", () => {
    const lines: unknown[] = [];
    const log = (fields: object) => lines.push(fields);
    const alarms = new Alarms({ ...silentLog, error: log, info: log });
    for (const skewMs of [null, 5_001, 6_000, null, null, -5_001]) alarms.set("clock_skew", skewMs === null ? null : { skewMs });
    expect(lines).to.deep.equal([{ skewMs: 5_001, alarm: "clock_skew" }, { over: "clock_skew" }, { skewMs: -5_001, alarm: "clock_skew" }]);
    expect(alarms.raised).to.deep.equal([{ name: "clock_skew", message: "This host's clock differs from the registry's" }]);
  });

  it("are all that a failing disk is to who needs it in passing", () => {
    const alarms = new Alarms(silentLog);
    tolerateDisk(alarms, () => {
      throw new Error("no space left on device");
    });
    expect(alarms.raised.map(({ name }) => name)).to.deep.equal(["not_saved"]);
    tolerateDisk(alarms, () => {});
    expect(alarms.raised).to.deep.equal([]);
  });
});
