import { expect } from "chai";
import { BIN } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";
import { traces } from "../lab/traces.ts";
import { page } from "./report.ts";
import { percentile } from "./stats.ts";

const NAME = `t-bench-${process.pid}`;

describe("npm run bench", function () {
  this.timeout(300_000);

  /** Of each kind of row one; the others are made of the same parts. */
  const ROWS = [
    ["admission-load", "registration → admitted under \\d+ a second, 1,000 elements"],
    ["apply", "one change applied, 1,000 elements"],
    ["registrations", "16 registrations"],
    ["fan-out", "fan-out of one change to 50 feeds"],
    ["certificates", "50 certificates \\(P-256\\)"],
    ["crl", "CRL of 1,000 entries"],
    ["revoke-request", "revoked → request refused, open connection"],
  ] as const;
  for (const [row, what] of ROWS) {
    it(`measures ${row} beside its floor and leaves nothing`, async () => {
      const said = await run([BIN.run, "test/bench/main.ts", "--quick", "--only", row, "--name", NAME], { timeoutMs: 290_000 });
      expect(said).to.match(new RegExp(`^${what} +20(?: +\\d+\\.\\d+){6}$`, "m"));
      expect(await traces(NAME)).to.deep.equal([]);
    });
  }

  it("takes the nearest rank as a percentile", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([0.5, 0.99, 1].map((share) => percentile(hundred, share))).to.deep.equal([50, 99, 100]);
    expect(percentile([7], 0.5)).to.equal(7);
    expect(() => percentile([], 0.5)).to.throw(RangeError, "no samples");
  });

  it("writes ratios to the floor into the page", () => {
    const text = page(["machine: one"], [{ what: "thing", samples: [2, 4], floor: [1, 2], note: "seen beside" }]);
    expect(text).to.include("- machine: one\n").and.to.include("- seen beside\n");
    expect(text).to.include("| thing | 2 | 2.00 | 4.00 | 1.00 | 2.00 | 2.0 | 2.0 |\n");
  });
});
