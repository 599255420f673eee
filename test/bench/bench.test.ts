import { expect } from "chai";
import { BIN } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";
import { traces } from "../lab/traces.ts";
import { page } from "./report.ts";
import { percentile } from "./stats.ts";

const NAME = `t-bench-${process.pid}`;

describe("npm run bench", function () {
  this.timeout(300_000);

  it("measures every row beside its floor and leaves nothing", async () => {
    const said = await run([BIN.run, "test/bench/main.ts", "--quick", "--name", NAME], { timeoutMs: 290_000 });
    const numbers = " +20(?: +\\d+\\.\\d+){6}$";
    expect(said).to.match(new RegExp(`^registration → admitted, 1,000 elements${numbers}`, "m"));
    expect(said).to.match(new RegExp(`^one change applied, 1,000 elements${numbers}`, "m"));
    expect(said).to.match(/^cold load, 1,000 elements +1(?: +\d+\.\d+){6}$/m);
    expect(said).to.match(new RegExp(`^16 registrations${numbers}`, "m"));
    expect(said).to.match(new RegExp(`^fan-out of one change to 50 feeds${numbers}`, "m"));
    expect(said).to.match(new RegExp(`^50 certificates \\(P-256\\)${numbers}`, "m"));
    expect(said).to.match(new RegExp(`^CRL of 1,000 entries${numbers}`, "m"));
    for (const way of [
      "address refused",
      "certificate refused, new connection",
      "request refused, open connection",
      "request refused, open connection, nginx",
      "download stopped",
    ])
      expect(said).to.match(new RegExp(`^revoked → ${way}${numbers}`, "m"));
    expect(said).to.match(/^HAProxy reloaded with 1,000 certificates +\d+(?: +\d+\.\d+){6}$/m);
    expect(await traces(NAME)).to.deep.equal([]);
  });

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
