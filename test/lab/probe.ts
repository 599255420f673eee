import { createSocket } from "node:dgram";
import { connect, type Socket } from "node:net";
import { servePeer } from "./peer.ts";
import { Download } from "./probe-download.ts";
import { get } from "./probe-https.ts";
import type { Answers, Asks, Target } from "./probe-messages.ts";
import { register } from "./probe-register.ts";

/**
 * A device's hands: a process inside its namespace that connects, registers and downloads on request, kept open so that no
 * program start is in what it measures. Times are milliseconds since 1970, with fractions.
 */
const now = (): number => performance.timeOrigin + performance.now();

/** Most connection attempts that are open at once; beyond it the oldest is given up. */
const MAX_ATTEMPTS = 512;
const downloads = new Map<number, Download>();
/** Ends the storm that goes on, if one does. */
let calm = (): Answers["calm"] => ({ attempts: 0, answered: 0 });

const operations: { readonly [K in keyof Asks]: (ask: Asks[K], id: number) => Promise<Answers[K]> } = {
  connect: (ask) => connectOnce(ask),
  watch: (ask) => watch(ask),
  async storm(ask) {
    calm();
    calm = storm(ask);
    return {};
  },
  calm: async () => calm(),
  register: (ask) => register(ask, now),
  get: (ask) => get(ask, now),
  async download(ask, id) {
    const download = new Download(ask, now);
    downloads.set(id, download);
    await download.started;
    return { download: id, localPort: download.localPort };
  },
  async progress({ download }) {
    const known = downloads.get(download);
    if (!known) throw new Error(`no download ${download}`);
    return known.progress;
  },
  async speak({ download }) {
    downloads.get(download)?.speak();
    return {};
  },
  async hangUp({ download }) {
    downloads.get(download)?.end();
    downloads.delete(download);
    return {};
  },
  mark: ({ host, port }) => mark(host, port),
};

/** One attempt. "silent": nothing came back in time. What came while this process stood still is heard after its timers. */
function connectOnce({ timeoutMs, ...target }: Asks["connect"]): Promise<Answers["connect"]> {
  return new Promise((resolve) => {
    const sentAt = now();
    const socket = connect(options(target));
    const finish = (outcome: Answers["connect"]["outcome"], detail: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ outcome, detail, sentAt, ms: now() - sentAt });
    };
    const timer = setTimeout(() => setImmediate(() => socket.connecting && finish("silent", "")), timeoutMs);
    socket.once("connect", () => finish("open", ""));
    socket.once("error", (error) => finish("refused", error.message));
  });
}

/** Attempts that are open side by side, at most MAX_ATTEMPTS: beyond them the oldest is given up. */
class Attempts {
  readonly #open = new Set<Socket>();
  count = 0;

  start(target: Target, onOpen: () => void, onError: (error: Error) => void): void {
    const [oldest] = this.#open;
    if (oldest && this.#open.size >= MAX_ATTEMPTS) this.#giveUp(oldest);
    const socket = connect(options(target));
    this.count++;
    this.#open.add(socket);
    socket.once("connect", () => this.#open.has(socket) && onOpen());
    socket.once("error", (error) => this.#open.has(socket) && onError(error));
  }

  end(): void {
    for (const socket of this.#open) this.#giveUp(socket);
  }

  #giveUp(socket: Socket): void {
    this.#open.delete(socket);
    socket.destroy();
  }
}

/** A new attempt every `everyMs` until one is answered: when the first packet came through. */
function watch({ everyMs, timeoutMs, ...target }: Asks["watch"]): Promise<Answers["watch"]> {
  return new Promise((resolve, reject) => {
    const startedAt = now();
    const attempts = new Attempts();
    const finish = (end: () => void) => {
      clearInterval(timer);
      clearTimeout(deadline);
      attempts.end();
      end();
    };
    const attempt = () => {
      const sentAt = now();
      const open = () => {
        const openAt = now();
        finish(() => resolve({ startedAt, sentAt, openAt, attempts: attempts.count }));
      };
      attempts.start(target, open, (error) => finish(() => reject(error)));
    };
    const timer = setInterval(attempt, everyMs);
    const deadline = setTimeout(() => finish(() => reject(new Error(`not admitted within ${timeoutMs} ms`))), timeoutMs);
    attempt();
  });
}

/** @returns what ends it */
function storm({ targets, everyMs }: Asks["storm"]): () => Answers["calm"] {
  const attempts = new Attempts();
  let answered = 0;
  const heard = () => {
    answered++;
  };
  const timer = setInterval(() => {
    for (const target of targets) attempts.start(target, heard, heard);
  }, everyMs);
  return () => {
    clearInterval(timer);
    attempts.end();
    return { attempts: attempts.count, answered };
  };
}

/** One datagram that a capture on the other side can wait for: what was sent before it has been seen by then. */
function mark(host: string, port: number): Promise<Record<string, never>> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.send("mark", port, host, (error) => {
      socket.close();
      if (error) reject(error);
      else resolve({});
    });
  });
}

const options = ({ host, port, localAddress }: Target) => ({ host, port, ...(localAddress === undefined ? {} : { localAddress }) });

servePeer(operations);
