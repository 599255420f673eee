import { expect } from "chai";
import { Problem } from "../../lib/problem.ts";

describe("a problem", () => {
  it("is written as RFC 9457 has it, with its own members and without its cause", () => {
    const problem = new Problem(401, "proof_time", "Set the clock.", { cause: new Error("secret"), extra: { now: 7 } });
    expect(JSON.parse(JSON.stringify(problem))).to.deep.equal({
      type: "urn:entityos:problem:proof_time",
      title: "proof_time",
      status: 401,
      detail: "Set the clock.",
      code: "proof_time",
      now: 7,
    });
    expect(problem.cause).to.be.an("error");
  });

  it("has no cause unless one is given", () => {
    expect("cause" in new Problem(422, "limit", "Too many.")).to.equal(false);
  });
});
