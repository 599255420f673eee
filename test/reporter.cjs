"use strict";
const { writeSync } = require("node:fs");
const { inspect } = require("node:util");
const { reporters } = require("mocha");

/** How long the process may go on after the last test before what holds it counts as a leak (reporter option leakMs). */
const LEAK_MS = 10_000;

const run = { ended: false, passed: 0, failed: 0 };

function lastLine(code) {
  if (!run.ended) writeSync(2, "The run ended before the last test.\n");
  const counted = run.failed > 0 || (run.ended && (process.exitCode ?? code) === 0);
  const failed = counted ? run.failed : 1;
  if (failed > 0) process.exitCode = Math.min(failed, 255);
  writeSync(1, `${run.passed} passed, ${failed} failed\n`);
}
// Mocha loads its reporter before the test files: one that does not load is told too.
process.on("exit", lastLine);

/**
 * Mocha's Spec, whose last line of all is "N passed, N failed". What the count of tests does not show is a failure too: a rejection
 * that nobody handled (Mocha 12 drops it), a run that ended early, an error after the last test, something left open.
 */
class Reporter extends reporters.Spec {
  #leakMs;

  constructor(runner, options) {
    super(runner, options);
    this.#leakMs = Number(options.reporterOptions?.leakMs ?? LEAK_MS);
    runner.on("pass", () => run.passed++);
    runner.on("fail", () => run.failed++);
    runner.once("end", () => {
      run.ended = true;
    });
    // Thrown from here it is an uncaught exception, which Mocha gives to the test that runs.
    process.on("unhandledRejection", (reason) => {
      throw reason instanceof Error ? reason : new Error(`rejected with ${inspect(reason)}`);
    });
  }

  /** Mocha calls this once, after the last test; `fn` sets the exit code in an exit listener, so ours must come after it. */
  done(failures, fn) {
    fn(failures);
    process.off("exit", lastLine);
    process.on("exit", lastLine);
    // Mocha's own listener rethrows from inside, which ends the process without an exit event.
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => failLate(inspect(error)));
    setTimeout(() => failLate(`still open: ${process.getActiveResourcesInfo().join(", ")}`), this.#leakMs).unref();
  }
}

function failLate(what) {
  writeSync(2, `After the last test: ${what}\n`);
  run.failed++;
  process.exit(1);
}

module.exports = Reporter;
