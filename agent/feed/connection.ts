import { Agent } from "node:https";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { WebSocket } from "ws";
import { asError } from "../../lib/as-error.ts";
import { FEED } from "../../lib/feed/limits.ts";
import { type ClientMessage, decodeServerMessage, encode, type ServerMessage } from "../../lib/feed/messages.ts";
import type { Latch } from "../../lib/latch.ts";
import { URN } from "../../lib/service.ts";
import { type Identity, readIdentity } from "./identity.ts";

/** The connection ended; why, in one sentence. `code` is the WebSocket close code that came, if one did. */
export class ConnectionLostError extends Error {
  readonly code: number | null;

  constructor(message: string, options: { readonly code?: number; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "ConnectionLostError";
    this.code = options.code ?? null;
  }
}

export interface ConnectionEvents {
  onOpen(): void;
  /** Called in order, never while `settled` is closed. A throw ends the connection with it. */
  onMessage(message: ServerMessage): void;
  onUnknown(type: string): void;
}

export interface Connection {
  send(message: ClientMessage): void;
  /** Silence after which the link counts as dead. */
  setSilenceLimit(ms: number): void;
  /** Rejects when the connection ended, whoever ended it. */
  readonly ended: Promise<never>;
}

/** The name alone is not enough: register's certificate, in the open zone, may be for the same one. */
export function checkControl(host: string, certificate: PeerCertificate): Error | undefined {
  const wrong = checkServerIdentity(host, certificate);
  if (wrong !== undefined) return wrong;
  const names = (certificate.subjectaltname ?? "").split(", ");
  return names.includes(`URI:${URN.control}`) ? undefined : new Error(`the server '${host}' is not the registry's control`);
}

/** Messages taken off the socket and not yet handled; beyond it the socket is paused, so TCP holds the registry back. */
const MAX_QUEUED = 8;

/**
 * Opens one feed connection: WebSocket over mutual TLS 1.3 with the pinned root alone. A silent link is terminated, not asked.
 * The files are read each time, so renewed certificates are used at the next connection.
 */
export function openConnection(
  address: string,
  identity: Identity,
  settled: Latch,
  events: ConnectionEvents,
  signal: AbortSignal,
): Connection {
  const socket = new WebSocket(new URL(FEED.path, address.replace(/^https/, "wss")), FEED.subprotocol, {
    ...readIdentity(identity),
    minVersion: "TLSv1.3",
    agent: new Agent({ checkServerIdentity: checkControl }),
    handshakeTimeout: FEED.helloTimeoutMs,
    maxPayload: FEED.maxMessageBytes,
    perMessageDeflate: false,
    followRedirects: false,
  });
  let silence: NodeJS.Timeout | undefined;
  let silenceMs: number = FEED.helloTimeoutMs;
  const queue: string[] = [];
  let busy = false;
  let over = false;

  const ended = new Promise<never>((_, reject) => {
    const end = (error: Error) => {
      over = true;
      queue.length = 0;
      clearTimeout(silence);
      signal.removeEventListener("abort", onAbort);
      socket.terminate();
      reject(error);
    };
    const onAbort = () => {
      socket.close(1000);
      end(new ConnectionLostError("this side ends it", { cause: signal.reason }));
    };
    const heard = () => {
      if (over) return;
      clearTimeout(silence);
      silence = setTimeout(() => end(new ConnectionLostError(`nothing heard for ${silenceMs} ms`)), silenceMs);
    };
    const drain = async () => {
      if (busy) return;
      busy = true;
      try {
        for (let text = queue.shift(); text !== undefined; text = queue.shift()) {
          while (settled.closed) await settled.passed();
          // It ended while the door was closed: what it brought belongs to no session any more.
          if (over) return;
          dispatch(text, events);
          heard();
        }
        if (!over && socket.isPaused) socket.resume();
      } catch (error) {
        end(asError(error));
      } finally {
        busy = false;
      }
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("open", () => {
      heard();
      events.onOpen();
    });
    socket.on("message", (data, isBinary) => {
      if (over) return;
      if (isBinary) return end(new ConnectionLostError("a binary message came"));
      queue.push(String(data));
      if (queue.length >= MAX_QUEUED) socket.pause();
      // While a resync holds the door, silence is ours, not the registry's.
      if (settled.closed) clearTimeout(silence);
      void drain();
    });
    socket.on("error", (cause) => end(new ConnectionLostError(cause.message, { cause })));
    socket.on("close", (code, reason) => {
      // What still waits at the closed door is dropped: it comes again on the next connection.
      end(new ConnectionLostError(`closed with ${code} ${String(reason)}`.trim(), { code }));
    });
    if (signal.aborted) onAbort();
  });
  ended.catch(() => {});
  return {
    ended,
    send(message) {
      if (socket.readyState === WebSocket.OPEN) socket.send(encode(message));
    },
    setSilenceLimit(ms) {
      silenceMs = ms;
    },
  };
}

function dispatch(text: string, events: ConnectionEvents): void {
  const decoded = decodeServerMessage(text);
  if (decoded.kind === "message") events.onMessage(decoded.message);
  else if (decoded.kind === "unknown") events.onUnknown(decoded.type);
  else throw new ConnectionLostError(`a message does not fit: ${decoded.reason}`);
}
