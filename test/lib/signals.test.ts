import { expect } from "chai";
import { startProgram } from "./program.ts";

const WAITS = `
import { stopSignal } from "lib:signals";
using stop = stopSignal();
const alive = setInterval(() => {}, 1000);
stop.signal.addEventListener("abort", () => {
  console.log("aborted by " + stop.signal.reason.message);
  LATER
});
console.log("ready");
`;

describe("the stop signal", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`aborts on ${signal} and leaves the ending to the program`, async () => {
      const program = startProgram(WAITS.replace("LATER", "clearInterval(alive);").replace("using stop", "const stop"));
      expect(await program.ready).to.equal("ready");
      program.process.kill(signal);
      expect(await program.ended).to.deep.include({ code: 0, stdout: `ready\naborted by ${signal}\n` });
    });
  }

  it("takes a second signal at once for the same Ctrl-C, and a later one as an order to end", async () => {
    const program = startProgram(
      WAITS.replace(
        "LATER",
        `process.kill(process.pid, "SIGINT"); setTimeout(() => { console.log("still here"); process.kill(process.pid, "SIGTERM"); }, 600);`,
      ).replace("using stop", "const stop"),
    );
    await program.ready;
    program.process.kill("SIGINT");
    expect(await program.ended).to.deep.include({ code: 143, stdout: "ready\naborted by SIGINT\nstill here\n" });
  });

  it("listens no more once disposed", async () => {
    const program = startProgram(`
import { stopSignal } from "lib:signals";
{ using stop = stopSignal(); }
console.log([process.listenerCount("SIGTERM"), process.listenerCount("SIGINT")].join());
`);
    expect((await program.ended).stdout).to.equal("0,0\n");
  });
});
