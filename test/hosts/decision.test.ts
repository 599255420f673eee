import { expect } from "chai";
import { TERMINATORS } from "../../agent/config.ts";
import { lanesOf, type Switches } from "../kernel/decision.ts";
import { DecisionRun } from "../kernel/decision-run.ts";
import { run } from "../lab/exec.ts";
import { baseImage } from "./image.ts";

/** Every lane at one time, and the one way in which the lane ipcert differs where no certificate admits from anywhere. */
const SETTINGS: readonly Switches[] = [true, false].map((roaming) => ({ ip: true, ipcert: true, roaming }));

/** A program of another Debian on this machine's kernel, with this machine's devices and temporary files. */
const insideOf = (root: string): readonly string[] => [
  ...["unshare", "--mount", "--propagation", "private", "--"],
  ...["sh", "-ec", 'for folder in dev proc tmp; do mount --rbind "/$folder" "$0/$folder"; done; exec chroot "$0" "$@"', root],
];

describe("the decision table on Debian 13", function () {
  this.timeout(300_000);
  let through: readonly string[];
  before(async () => {
    through = insideOf(await baseImage("trixie"));
  });

  it("holds with its HAProxy 3.0 and its nginx 1.26", async () => {
    const [haproxy, nginx] = await Promise.all(
      [
        ["haproxy", "-v"],
        ["sh", "-c", "nginx -v 2>&1"],
      ].map((words) => run([...through, ...words])),
    );
    expect(haproxy).to.match(/^HAProxy version 3\.0\./);
    expect(nginx).to.match(/ nginx\/1\.26\./);
    await using stack = new AsyncDisposableStack();
    const runs: DecisionRun[] = [];
    for (const kind of TERMINATORS) runs.push(stack.use(await DecisionRun.start({ kind, lanes: SETTINGS[0] as Switches, through })));
    for (const lanes of SETTINGS)
      expect(await Promise.all(runs.map((asked) => asked.faults(lanes))), lanesOf(lanes)).to.deep.equal([[], []]);
  });
});
