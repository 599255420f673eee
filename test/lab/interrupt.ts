import { EXIT } from "../../lib/service.ts";
import { LabError } from "./plan.ts";

/** A second signal counts only when it comes this much later: one Ctrl-C under npm is two. */
const SAME_SIGNAL_MS = 500;

/** Aborts at the first SIGINT or SIGTERM; a later one ends the process at once, and what it leaves the next run takes away. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  let firstAt = 0;
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (!controller.signal.aborted) {
        firstAt = performance.now();
        controller.abort(new LabError(`interrupted by ${name}`));
      } else if (performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(EXIT.failed);
    });
  }
  return controller.signal;
}
