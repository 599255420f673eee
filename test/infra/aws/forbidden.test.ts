import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { FORBIDDEN, findings } from "../../../infra/aws/forbidden/table.ts";
import { MUTATIONS } from "./mutations.ts";
import { copyOf, ENVIRONMENT_NAMES, synthesised } from "./synthesised.ts";

describe("the table of forbidden states", function () {
  // The first synthesis in a process loads the provider's types.
  this.timeout(240_000);

  for (const name of ENVIRONMENT_NAMES) {
    it(`finds nothing in ${name}`, () => {
      expect(findings(synthesised(name))).to.deep.equal([]);
    });
  }

  it("has a slip of the hand for every rule, and a name and a reason for each", () => {
    expect(FORBIDDEN.map(({ name }) => name).sort()).to.deep.equal(Object.keys(MUTATIONS).sort());
    for (const { name, why } of FORBIDDEN) expect(why, name).to.match(/^[A-Za-z].{20,}[^.]$/);
  });

  it("is what docs/aws.md says", () => {
    const told = readFileSync(join(import.meta.dirname, "../../../docs/aws.md"), "utf8");
    const rows = [...told.matchAll(/^\| `([a-z0-9-]+)` \| (.+) \|$/gm)].map(([, name, why]) => ({ name, why }));
    expect(rows.filter(({ name }) => FORBIDDEN.some((rule) => rule.name === name))).to.deep.equal(
      FORBIDDEN.map(({ name, why }) => ({ name, why })),
    );
  });

  for (const { name, look } of FORBIDDEN) {
    for (const [index, { of = "production", break: slip, found }] of (MUTATIONS[name] ?? []).entries()) {
      it(`${name}: sees slip ${index + 1}`, () => {
        const copy = copyOf(synthesised(of));
        expect(look(copy.synthesis)).to.deep.equal([]);
        slip(copy);
        const told = look(copy.synthesis).map((line) => line.replace(/has \d+ bytes/, "has "));
        expect(told).to.have.members(found);
      });
    }
  }
});
