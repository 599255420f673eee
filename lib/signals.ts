import { Wakeup } from "./abort.ts";

/** A second signal this long after the first ends the process at once; one Ctrl-C under npm delivers two within a millisecond. */
const FORCE_AFTER_MS = 500;
/** 128 + SIGTERM, as a shell reports a process that a signal ended. */
const FORCED_EXIT = 143;

/** Aborts on SIGTERM or SIGINT. The only other place that ends the process is `main`'s return. */
export function stopSignal(): { readonly signal: AbortSignal } & Disposable {
  const abort = new AbortController();
  let firstAtMs = 0;
  const onSignal = (name: NodeJS.Signals): void => {
    if (!abort.signal.aborted) {
      firstAtMs = performance.now();
      abort.abort(new Error(name));
    } else if (performance.now() - firstAtMs >= FORCE_AFTER_MS) {
      process.exit(FORCED_EXIT);
    }
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return {
    signal: abort.signal,
    [Symbol.dispose]() {
      process.removeListener("SIGTERM", onSignal);
      process.removeListener("SIGINT", onSignal);
    },
  };
}

/** Rings at each SIGHUP, which by itself would end the process. */
export function hangupBell(): { readonly bell: Wakeup } & Disposable {
  const bell = new Wakeup();
  const onSignal = () => bell.ring();
  process.on("SIGHUP", onSignal);
  return {
    bell,
    [Symbol.dispose]() {
      process.removeListener("SIGHUP", onSignal);
    },
  };
}
