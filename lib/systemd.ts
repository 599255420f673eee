import { spawn } from "node:child_process";
import systemdNotify from "systemd-notify";

const TIMEOUT_MS = 5_000;

/** What a service tells systemd (sd_notify(3)). */
export interface Notifier {
  /** How often systemd wants to hear `alive`, milliseconds; null when it does not watch this process (sd_watchdog_enabled(3)). */
  readonly watchdogMs: number | null;
  ready(status: string): Promise<void>;
  status(text: string): Promise<void>;
  /** The configuration is being read again; {@link Notifier.ready} ends it. */
  reloading(): Promise<void>;
  /** Feeds the watchdog. */
  alive(): Promise<void>;
  stopping(): Promise<void>;
}

const SILENT: Notifier = {
  watchdogMs: null,
  async ready() {},
  async status() {},
  async reloading() {},
  async alive() {},
  async stopping() {},
};

/**
 * Speaks to the service manager through the systemd-notify(1) binary, and does nothing when NOTIFY_SOCKET is unset.
 * Node has no UNIX datagram sockets, hence the binary; the unit needs NotifyAccess=all. A failure is told to `onError`
 * and never fatal: systemd's own timeouts are the judge.
 */
export function createNotifier(onError: (error: unknown) => void, environment: NodeJS.ProcessEnv = process.env): Notifier {
  if (!environment.NOTIFY_SOCKET) return SILENT;
  // A binary that hangs must not hold up the service that it speaks for.
  const guarded = async (work: Promise<unknown>): Promise<void> => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const late = new Promise((_, reject) => timeout.addEventListener("abort", () => reject(timeout.reason)));
    await Promise.race([work, late]).catch(onError);
  };
  return {
    watchdogMs: watchdogOf(environment),
    ready: (text) => guarded(systemdNotify({ ready: true, status: oneLine(text) })),
    status: (text) => guarded(systemdNotify({ status: oneLine(text) })),
    reloading: () => guarded(assign("RELOADING=1", `MONOTONIC_USEC=${monotonicUsec()}`)),
    alive: () => guarded(assign("WATCHDOG=1")),
    stopping: () => guarded(assign("STOPPING=1")),
  };
}

function watchdogOf({ WATCHDOG_USEC, WATCHDOG_PID }: NodeJS.ProcessEnv): number | null {
  const usec = Number(WATCHDOG_USEC ?? 0);
  const ours = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid;
  return ours && Number.isSafeInteger(usec) && usec > 0 ? usec / 1_000 : null;
}

/** CLOCK_MONOTONIC in microseconds: by it Type=notify-reload tells this reload from an earlier one. */
const monotonicUsec = (): string => String(process.hrtime.bigint() / 1_000n);

/** A newline would inject further assignments. */
const oneLine = (text: string): string => text.replace(/[\r\n]+/g, " ").slice(0, 200);

/** The package knows ready and status alone; the same binary takes any assignments, and sends those of one call as one message. */
function assign(...texts: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { stdio: "ignore", timeout: TIMEOUT_MS, killSignal: "SIGKILL" } as const;
    const child = spawn("systemd-notify", [`--pid=${process.pid}`, ...texts], options);
    child.once("error", reject);
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`systemd-notify exited with ${code}`))));
  });
}
