import { readFileSync } from "node:fs";
import { expect } from "chai";
import { TERMINATORS } from "../../agent/config.ts";
import { ADDRESSES, CERTIFICATES, CONNECTIONS, lanesOf, PATTERNS, SWITCHES } from "./decision.ts";
import { page } from "./decision-page.ts";
import { DecisionRun } from "./decision-run.ts";

/** Faults that are told at most. */
const SHOWN = 10;
const ALL_ON = { ip: true, ipcert: true, roaming: true };

describe("the decision table", function () {
  // Each step is bounded and tells what it waits for, before this does.
  this.timeout(600_000);
  const runs: DecisionRun[] = [];
  before(async () => {
    for (const kind of TERMINATORS) runs.push(await DecisionRun.start({ kind, lanes: ALL_ON }));
  });
  after(async () => {
    for (const run of runs) await run[Symbol.asyncDispose]();
  });

  for (const lanes of SWITCHES) {
    it(`holds for new, open and resumed connections, with HAProxy and with nginx, with the lanes on: ${lanesOf(lanes)}`, async () => {
      const faults = await Promise.all(runs.map((run) => run.faults(lanes)));
      const said = TERMINATORS.flatMap((kind, at) => (faults[at] ?? []).map((fault) => `${kind}: ${fault}`));
      expect(said, said.slice(0, SHOWN).join("\n")).to.have.length(0);
    });
  }

  it("is the one in docs/decision-table.md", () => {
    const cells = ADDRESSES.length * PATTERNS.length * CERTIFICATES.length * CONNECTIONS.length * SWITCHES.length;
    expect(cells).to.equal(3_072);
    expect(readFileSync(new URL("../../docs/decision-table.md", import.meta.url), "utf8")).to.equal(page());
  });
});
