import { spawn } from "node:child_process";
import systemdNotify from "systemd-notify";

const TIMEOUT_MS = 5_000;

/** What a service tells systemd (sd_notify(3)). */
export interface Notifier {
  ready(status: string): Promise<void>;
  status(text: string): Promise<void>;
  stopping(): Promise<void>;
}

/**
 * Speaks to the service manager through the systemd-notify(1) binary, and does nothing when NOTIFY_SOCKET is unset.
 * Node has no UNIX datagram sockets, hence the binary; the unit needs NotifyAccess=all. A failure is told to `onError`
 * and never fatal: systemd's own start timeout is the judge.
 */
export function createNotifier(onError: (error: unknown) => void, environment: NodeJS.ProcessEnv = process.env): Notifier {
  if (!environment.NOTIFY_SOCKET) return { async ready() {}, async status() {}, async stopping() {} };
  // A binary that hangs must not hold up the service that it speaks for.
  const guarded = async (work: Promise<unknown>): Promise<void> => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const late = new Promise((_, reject) => timeout.addEventListener("abort", () => reject(timeout.reason)));
    await Promise.race([work, late]).catch(onError);
  };
  return {
    ready: (text) => guarded(systemdNotify({ ready: true, status: oneLine(text) })),
    status: (text) => guarded(systemdNotify({ status: oneLine(text) })),
    stopping: () => guarded(assign("STOPPING=1")),
  };
}

/** A newline would inject further assignments. */
const oneLine = (text: string): string => text.replace(/[\r\n]+/g, " ").slice(0, 200);

/** The package knows ready and status alone; the same binary takes any assignment. */
function assign(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("systemd-notify", [`--pid=${process.pid}`, text], { stdio: "ignore", timeout: TIMEOUT_MS, killSignal: "SIGKILL" });
    child.once("error", reject);
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`systemd-notify exited with ${code}`))));
  });
}
