import { connect, createServer, type Server, type Socket } from "node:net";
import { servePeer } from "../lab/peer.ts";

/** Hands inside a namespace: serves a lane, connects, downloads. Started by netns.ts, ends with it. */
export interface Asks {
  /** A listener that names its lane to whoever connects, and sends without end to who writes something. */
  serve: { readonly port: number; readonly label: string };
  /** @param timeoutMs for the handshake; @param keep the connection stays open until `letGo` */
  connect: {
    readonly host: string;
    readonly port: number;
    readonly timeoutMs: number;
    readonly localAddress?: string;
    readonly keep?: true;
  };
  /** Closes one connection that was kept, the oldest. */
  letGo: Record<string, never>;
  /** Connections one after the other, each given up after `timeoutMs` without a handshake, until `stopBarrage`. */
  startBarrage: { readonly host: string; readonly port: number; readonly timeoutMs: number };
  stopBarrage: Record<string, never>;
  download: { readonly host: string; readonly port: number; readonly timeoutMs: number; readonly localPort?: number };
  /** Sends the host something over the download's connection. */
  speak: { readonly id: number };
  /** Bytes that the download brought so far. */
  downloaded: { readonly id: number };
  /** Clients' ports as the listeners have them, in the order in which they came. */
  peers: Record<string, never>;
}

export interface Answers {
  serve: Record<string, never>;
  connect: { readonly outcome: "open" | "silent" | "refused"; readonly label: string };
  letGo: Record<string, never>;
  startBarrage: Record<string, never>;
  stopBarrage: { readonly opened: number; readonly failed: number };
  download: { readonly id: number; readonly localPort: number };
  speak: Record<string, never>;
  downloaded: { readonly bytes: number };
  peers: { readonly ports: readonly number[] };
}

/** How long a listener may take to name its lane. */
const LISTENER_MS = 20_000;
const servers: Server[] = [];
const kept: Socket[] = [];
const peers: number[] = [];
const downloads = new Map<number, { socket: Socket; bytes: number }>();
let barrage: { going: boolean; opened: number; failed: number; done: Promise<void> } | null = null;

const operations: { readonly [K in keyof Asks]: (ask: Asks[K], id: number) => Promise<Answers[K]> } = {
  serve: ({ port, label }) => serve(port, label),
  connect: (ask) => connectOnce(ask),
  async letGo() {
    kept.shift()?.destroy();
    return {};
  },
  async startBarrage(ask) {
    const current = { going: true, opened: 0, failed: 0, done: Promise.resolve() };
    current.done = (async () => {
      while (current.going) {
        const { outcome } = await connectOnce(ask);
        if (outcome === "open") current.opened++;
        else current.failed++;
      }
    })();
    barrage = current;
    return {};
  },
  async stopBarrage() {
    if (barrage === null) return { opened: 0, failed: 0 };
    barrage.going = false;
    await barrage.done;
    return { opened: barrage.opened, failed: barrage.failed };
  },
  download: (ask, id) => download(ask, id),
  async speak({ id }) {
    downloads.get(id)?.socket.write("still there?\n");
    return {};
  },
  async downloaded({ id }) {
    return { bytes: downloads.get(id)?.bytes ?? 0 };
  },
  peers: async () => ({ ports: peers }),
};

function serve(port: number, label: string): Promise<Record<string, never>> {
  const server = createServer((socket) => {
    peers.push(socket.remotePort ?? 0);
    socket.on("error", () => socket.destroy());
    socket.write(`${label}\n`);
    socket.once("data", () => pour(socket));
  });
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "::", () => resolve({}));
  });
}

const CHUNK = Buffer.alloc(16_384, "x");

function pour(socket: Socket): void {
  while (!socket.destroyed && socket.write(CHUNK)) {
    // Until the buffer is full.
  }
  if (!socket.destroyed) socket.once("drain", () => pour(socket));
}

/**
 * Silent is who does not answer the handshake in time: kernels alone have to do for that. The listener, a program, has as long as a busy
 * machine takes.
 */
function connectOnce({ host, port, timeoutMs, localAddress, keep }: Asks["connect"]): Promise<Answers["connect"]> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, ...(localAddress === undefined ? {} : { localAddress }) });
    const finish = (outcome: Answers["connect"]["outcome"], label: string) => {
      clearTimeout(timer);
      if (keep === true && outcome === "open") kept.push(socket);
      else socket.destroy();
      resolve({ outcome, label });
    };
    const silent = () => finish("silent", "");
    let timer = setTimeout(() => {
      // What came while this process stood still is heard after its timers.
      setImmediate(() => socket.connecting && silent());
    }, timeoutMs);
    socket.once("connect", () => {
      clearTimeout(timer);
      timer = setTimeout(silent, LISTENER_MS);
    });
    socket.once("data", (data) => finish("open", data.toString().split("\n")[0] ?? ""));
    socket.on("error", () => finish("refused", ""));
  });
}

function download({ host, port, timeoutMs, localPort }: Asks["download"], id: number): Promise<Answers["download"]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ...(localPort === undefined ? {} : { localPort }) });
    const entry = { socket, bytes: 0 };
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error("no download in time"));
    }, timeoutMs);
    socket.on("error", () => {});
    socket.once("connect", () => socket.write("go\n"));
    socket.on("data", (data) => {
      entry.bytes += data.length;
      if (entry.bytes < 1_000_000 || downloads.has(id)) return;
      clearTimeout(timer);
      downloads.set(id, entry);
      resolve({ id, localPort: socket.localPort ?? 0 });
    });
  });
}

servePeer(operations);
