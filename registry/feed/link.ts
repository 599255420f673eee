import { WebSocket as Socket, type WebSocket } from "ws";
import type { Clock } from "../../lib/clock.ts";
import { CLOSE, FEED } from "../../lib/feed/limits.ts";
import type { Log } from "../../lib/log.ts";

/** A heartbeat is left out while this much waits for the socket: what waits will tell the agent that we live. */
const MAX_BACKLOG_BYTES = 64 << 10;
/** A peer that does not answer the close within this time is cut. */
const CLOSE_GRACE_MS = 1_000;

export interface LinkParts {
  readonly agent: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly heartbeatMs: number;
  /** Called with each message in order, never after the link began to close. */
  readonly onText: (text: string) => void;
}

/**
 * One feed's socket with its bounds: one message under way at a time; an agent that says nothing for three heartbeats is gone, one
 * that takes nothing for as long is too slow. Measured by a clock that never steps.
 */
export class Link {
  readonly #socket: WebSocket;
  readonly #parts: LinkParts;
  readonly #abort = new AbortController();
  readonly #patienceMs: number;
  readonly #silence: NodeJS.Timeout;
  #sendingSince: number | null = null;

  constructor(socket: WebSocket, parts: LinkParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#patienceMs = parts.heartbeatMs * FEED.missedHeartbeats;
    this.#silence = setTimeout(() => this.#silent(), this.#patienceMs);
    socket.on("message", (data, isBinary) => {
      if (this.#abort.signal.aborted) return;
      this.#silence.refresh();
      if (isBinary) this.close(CLOSE.protocol, "binary message");
      else parts.onText(String(data));
    });
    socket.on("error", (error) => parts.log.warn({ agent: parts.agent, reason: error.message }, "Feed connection failed"));
    socket.on("close", () => this.#end("the feed is closed"));
  }

  /** Aborts when the link begins to close, whoever closes it. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Resolves when the message left this process. Await it before the next. @throws when the link closes */
  send(data: string | Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#abort.signal.aborted || this.#socket.readyState !== Socket.OPEN) {
        reject(new Error("the feed is closed"));
        return;
      }
      this.#sendingSince = this.#parts.clock.monotonic();
      this.#socket.send(data, { binary: false }, (error) => {
        this.#sendingSince = null;
        if (error) reject(error);
        else resolve();
      });
    });
  }

  /** Sends unless much waits already. @returns whether it did */
  offer(text: string): boolean {
    if (this.#socket.readyState !== Socket.OPEN || this.#socket.bufferedAmount >= MAX_BACKLOG_BYTES) return false;
    this.#socket.send(text, () => {});
    return true;
  }

  /** To be called once a heartbeat interval: ends a link on which one message stands still. */
  look(): void {
    const since = this.#sendingSince;
    if (since !== null && this.#parts.clock.monotonic() - since > this.#patienceMs) this.close(CLOSE.tooSlow, "too slow");
  }

  /** Ends the link; the first call counts. */
  close(code: number, reason: string): void {
    if (this.#abort.signal.aborted) return;
    this.#end(reason);
    this.#socket.close(code, reason.slice(0, 100));
    setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref();
  }

  #silent(): void {
    this.#parts.log.warn({ agent: this.#parts.agent, silentMs: this.#patienceMs }, "Feed silent, terminated");
    this.#end("the agent is silent");
    this.#socket.terminate();
  }

  #end(reason: string): void {
    clearTimeout(this.#silence);
    if (!this.#abort.signal.aborted) this.#abort.abort(new Error(reason));
  }
}
