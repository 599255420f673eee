import { expect } from "chai";
import { costRows } from "../../../infra/aws/cost.ts";
import { copyOf, type EnvironmentName, type OpenSynthesis, synthesised } from "./synthesised.ts";

/** What a row's name, number and sum are, by how its name begins. */
const rowsOf = (name: EnvironmentName, change: (copy: OpenSynthesis) => void = () => undefined) => {
  const copy = copyOf(synthesised(name));
  change(copy);
  const rows = costRows(copy.synthesis).map(([what, count, , monthly]) => [what, count, monthly] as const);
  return (begins: string) => rows.find(([what]) => what.startsWith(begins))?.slice(1);
};

describe("what an environment costs", function () {
  this.timeout(240_000);

  it("is told for what stands and for one use, each with its sum, by prices for each hour, GB or piece", () => {
    const trial = rowsOf("trial");
    // 2 × 0.0084 × 730; 3 × 0.0225 × 730; 500 × 0.09; 550 × 0.006; half of 550 × 0.02.
    expect(trial("instance t4g.micro")).to.deep.equal(["2", "12.26"]);
    expect(trial("network load balancer")).to.deep.equal(["3", "49.28"]);
    expect(trial("GB to clients")).to.deep.equal(["500", "45.00"]);
    expect(trial("capacity units")).to.deep.equal(["550", "3.30"]);
    expect(trial("GB between zones")).to.deep.equal(["275", "5.50"]);
    // 5 a second × 2,628,000 s × 4 records × 140 bytes, and 30 days of it at 0.15.
    expect(trial("GB of flow logs written")).to.deep.equal(["7.4", "3.68"]);
    expect(trial("GB of flow logs kept 30 days")).to.deep.equal(["1.1", "0.03"]);
    // Half of 8 GB, and 7 days of 1 GB.
    expect(trial("GB of snapshots of 7 days")).to.deep.equal(["11", "0.55"]);
    expect([trial("**what stands**"), trial("**the use of the example**"), trial("**both**")]).to.deep.equal([
      ["", "**135.48**"],
      ["", "**58.24**"],
      ["", "**193.72**"],
    ]);
  });

  it("counts nothing between zones where there is one, and certificates where the device CA is AWS's", () => {
    expect(rowsOf("single-zone")("GB between zones")).to.equal(undefined);
    expect(rowsOf("trial")("certificate of the private CA")).to.equal(undefined);
    const priv = rowsOf("private-ca");
    expect([priv("private CA"), priv("certificate of the private CA")]).to.deep.equal([
      ["1", "400.00"],
      ["100", "75.00"],
    ]);
  });

  it("has a question mark for a type of instance without a price, and for nothing else", () => {
    const unpriced = rowsOf("trial", ({ resource }) => {
      resource("restricted", "aws_instance", "web-1").instance_type = "m9g.large";
    });
    expect(unpriced("instance m9g.large")).to.deep.equal(["1", "?"]);
    for (const name of ["production", "trial", "single-zone", "private-ca", "own"] as const)
      expect(costRows(synthesised(name)).map(([, , , monthly]) => monthly)).to.not.include("?");
  });
});
