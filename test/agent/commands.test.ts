import { spawnSync } from "node:child_process";
import { expect } from "chai";
import { BIN } from "../lab/configs.ts";

describe("entityos-agent accept", () => {
  for (const [word, told] of [
    [[], "entityos-agent: accept which epoch? It stands in the agent's log and in 'entityos status' at the registry\n"],
    [["nope"], "entityos-agent: 'nope' is no epoch: it is a UUID, as 'entityos status' tells it at the registry\n"],
  ] as const) {
    it(`refuses ${word[0] ?? "nothing"} before it asks the agent`, () => {
      const { status, stderr } = spawnSync(BIN.agent, ["accept", ...word], { encoding: "utf8" });
      expect([status, stderr]).to.deep.equal([64, told]);
    });
  }
});
