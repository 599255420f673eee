import { connect } from "node:net";

/** HAProxy's master process: the one way to all of its workers, those that were replaced and still let requests end among them. */
export interface Master {
  /**
   * One command of its command line (management.txt, "Master CLI"), to the master itself or to one worker.
   * @param payload lines that follow the command; none may be empty
   * @returns what it printed
   * @throws MasterError
   */
  command(text: string, options: MasterOptions, payload?: readonly string[]): Promise<string>;
}

export interface MasterOptions {
  readonly signal: AbortSignal;
  /** Process id of the worker that is meant; left out, the master. */
  readonly worker?: number;
  /** Longest silence, milliseconds, where a command takes longer than others. */
  readonly silenceMs?: number;
}

/**
 * `absent`: there is no HAProxy, so nobody is let in. `away`: nobody answers at this moment, as while it is reloaded, when the worker
 * before goes on serving. `silent`: who was asked says nothing for too long. `failed`, and where it is silent: it may have done it or not.
 */
export class MasterError extends Error {
  readonly kind: "absent" | "away" | "silent" | "failed";

  constructor(kind: MasterError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MasterError";
    this.kind = kind;
  }
}

/** A reload is over, and the workers from before it serve on. */
export class NotTakenError extends MasterError {
  constructor() {
    super("failed", "HAProxy did not take its new configuration: its log says why");
  }
}

/** Longest silence: a map of a million certificates takes longer than that, and never stops coming. */
const SILENCE_MS = 5_000;
/** Bound on one answer, characters: a map of a million certificates has 150 million, 100,000 open connections 8. */
const MAX_ANSWER = 256 << 20;
/** A reload leaves the socket's file where it is (2.6); it goes with the folder that it is in, at boot. */
const KINDS: Readonly<Record<string, "absent" | "away">> = {
  ENOENT: "absent",
  ECONNREFUSED: "away",
  ECONNRESET: "away",
  EPIPE: "away",
  EAGAIN: "away",
};

/** Speaks to the master over its UNIX socket, a connection for each command. */
export function createMaster(socketPath: string): Master {
  return {
    command: (text, { signal, worker, silenceMs = SILENCE_MS }, payload) => {
      const prefix = worker === undefined ? "" : `@!${worker} `;
      const body = payload === undefined ? "\n" : ` <<\n${payload.join("\n")}\n\n`;
      return exchange(socketPath, `${prefix}${text}${body}`, silenceMs, signal);
    },
  };
}

/**
 * What was done is answered with an empty line at least, and every longer answer ends in one. A master that begins anew drops what it had
 * taken, says nothing or breaks off in the middle; and of a worker that ended it says so in a line.
 */
const isWhole = (answer: string): boolean => answer === "\n" || answer.endsWith("\n\n");

function exchange(socketPath: string, request: string, silenceMs: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let answer = "";
    const end = (settle: () => void) => {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const fail = (kind: MasterError["kind"], message: string, cause?: unknown) =>
      end(() => reject(new MasterError(kind, message, { cause })));
    const onAbort = () => end(() => reject(signal.reason));
    const timer = setTimeout(() => fail("silent", `HAProxy's master was silent for ${silenceMs} ms`), silenceMs);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) return onAbort();
    socket.setEncoding("utf8");
    socket.once("connect", () => socket.end(request));
    socket.on("data", (text: string) => {
      timer.refresh();
      answer += text;
      if (answer.length > MAX_ANSWER) fail("failed", "HAProxy's answer is too long");
    });
    socket.once("end", () => {
      if (isWhole(answer)) end(() => resolve(answer));
      else fail("away", `HAProxy's master closed without a whole answer: ${answer.slice(0, 200)}`);
    });
    socket.once("error", (cause: NodeJS.ErrnoException) => {
      const kind = KINDS[cause.code ?? ""] ?? "failed";
      fail(kind, `HAProxy's master on ${socketPath} cannot be asked: ${cause.message}`, cause);
    });
  });
}

export interface Workers {
  /** The worker that takes new connections; null while there is none. */
  readonly current: number | null;
  /** Workers that were replaced and still have connections. */
  readonly old: readonly number[];
  /** How often a reload failed since the last that did not. */
  readonly failed: number;
}

/** Reads the answer to `show proc`. @throws MasterError when it has another form */
export function readWorkers(answer: string): Workers {
  const failed = /\bmaster\b.*\[failed: (\d+)\]/.exec(answer)?.[1];
  if (failed === undefined) throw new MasterError("failed", `HAProxy's list of processes has another form: ${answer.slice(0, 200)}`);
  const section = (title: string): number[] => {
    const text = answer.split(`# ${title}\n`)[1]?.split("\n# ")[0] ?? "";
    return [...text.matchAll(/^(\d+)\s+worker\b/gm)].map(([, pid]) => Number(pid));
  };
  return { current: section("workers")[0] ?? null, old: section("old workers"), failed: Number(failed) };
}
