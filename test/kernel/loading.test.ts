import { expect } from "chai";
import { DesiredState } from "../../agent/desired.ts";
import { StateFile } from "../../agent/state.ts";
import { queryStatus } from "../../agent/status.ts";
import { silentLog } from "../../lib/log.ts";
import { PATH } from "../../lib/service.ts";
import { waitFor } from "../lab/wait.ts";
import { makeRunningScene } from "./running.ts";

/** Loads in a second or more. */
const RULES = 50_000;
const ANSWERS = 5;

describe("an agent that loads a large state at its start", () => {
  it("answers all the time: not ready before the gate stands, then what it holds", async () => {
    await using scene = await makeRunningScene(0);
    await scene.stop();
    {
      const desired = new DesiredState({ widest4: 24, widest6: 48, rules: RULES }, null);
      desired.epoch = "e1";
      desired.revision = 1;
      for (let i = 0; i < RULES; i++)
        desired.load({ lane: "ip", prefix: `100.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}/32`, expiresAt: Date.now() + 3_600_000 });
      using state = StateFile.open(`${scene.folder}/state/state.db`, "host", silentLog);
      state.replace({ epoch: "e1", revision: 1, digest: desired.digest, seenMs: Date.now() }, desired);
    }
    const told: string[] = [];
    let over = false;
    const asking = (async () => {
      while (!over) {
        const answer = queryStatus(`${scene.folder}/run/${PATH.agentSocketName}`).then(
          ({ state, rules }) => `${state} ${rules}`,
          () => "nothing yet",
        );
        told.push(await answer);
      }
    })();
    await scene.start();
    await waitFor("the gate", () => /^(detached|enforcing)/.test(told.at(-1) ?? "") || undefined, { timeoutMs: 60_000 });
    over = true;
    await asking;
    expect(told.filter((answer) => answer === `starting ${RULES}`).length).to.be.above(ANSWERS);
  }).timeout(120_000);
});
