import { readFileSync } from "node:fs";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type WebSocket, WebSocketServer } from "ws";
import { systemClock } from "../../lib/clock.ts";
import { FEED } from "../../lib/feed/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { createTlsEntrance } from "../../registry/admin/entrance.ts";
import { Peers } from "../../registry/admin/identity.ts";
import { serverCertificate } from "../../registry/ca/files.ts";
import { parseRegistryConfig } from "../../registry/config.ts";
import { startFeed } from "../../registry/feed/server.ts";
import { commitChanges, takeLead } from "../../registry/store/queries.ts";
import { openSqliteStore } from "../../registry/store/sqlite.ts";
import { all } from "../../registry/store/store.ts";
import { servePeer } from "../lab/peer.ts";
import { openPki } from "../registry/ca/open.ts";
import { BENCH_EPOCH, type FanPki, fanPkiFile, fanPkiFolder } from "./fan-pki.ts";

/**
 * One process that tells many agents: `--kind feed` is the registry's feed over Storage, `--kind bare` is ws alone over the same
 * mutual TLS with the same message.
 */
export interface FanServerAsks {
  start: { readonly folder: string };
  publish: { readonly n: number };
  cpu: Record<string, never>;
}
export interface FanServerAnswers {
  start: { readonly url: string };
  /** When the change was durable and telling began, wall-clock milliseconds with fractions. */
  publish: { readonly at: number };
  /** CPU time of this process so far, milliseconds. */
  cpu: { readonly ms: number };
}

const wallNow = (): number => performance.timeOrigin + performance.now();
const EXPIRES = 4_000_000_000_000;
const change = (n: number) => ({ kind: "rule.set", lane: "ip", prefix: `10.0.${n >> 8}.${n & 255}/32`, expiresAt: EXPIRES }) as const;

async function listener(folder: string): Promise<Server> {
  const ca = openPki(fanPkiFolder(folder));
  const tls = await serverCertificate(fanPkiFolder(folder), "control", ["127.0.0.1"], ca, Date.now());
  return createTlsEntrance({ ...tls, anchors: [await ca.makeAnchor()] }, (_, response) => response.end(), new Peers(), silentLog);
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", 4_096, resolve));
  return `wss://127.0.0.1:${(server.address() as AddressInfo).port}${FEED.path}`;
}

interface Subject {
  start(folder: string): Promise<string>;
  publish(n: number): Promise<number>;
}

function feed(): Subject {
  let publish: Subject["publish"];
  return {
    async start(folder) {
      const pki: FanPki = JSON.parse(readFileSync(fanPkiFile(folder), "utf8"));
      const store = await openSqliteStore({ file: join(folder, "storage", "registry.db"), log: silentLog });
      const lead = await takeLead(store, 1);
      const common = { zone: "restricted", enrolled_at: 1, revoked_at: null, acked_revision: 0, seen_at: null } as const;
      await store.write(function* (db) {
        yield* all(db.updateTable("head").set({ epoch: BENCH_EPOCH }).where("id", "=", 1));
        for (const { name, fingerprint } of pki.agents) yield* all(db.insertInto("agents").values({ name, fingerprint, ...common }));
      });
      let at = 0;
      store.watch("head", () => {
        at = wallNow();
      });
      publish = async (n) => {
        await store.write((db) => commitChanges(db, lead, { changes: [change(n)], now: 1 }), ["head"]);
        return at;
      };
      const server = await listener(folder);
      const config = parseRegistryConfig("bench", `name: bench.example\nfeed: { heartbeatMs: ${FEED.maxHeartbeatMs} }\n`);
      await startFeed({ server, config, store, clock: systemClock, log: silentLog });
      return listen(server);
    },
    publish: (n) => publish(n),
  };
}

function bare(): Subject {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, handleProtocols: () => FEED.subprotocol });
  const opened: WebSocket[] = [];
  return {
    async start(folder) {
      const server = await listener(folder);
      const take = (socket: WebSocket) => {
        opened.push(socket);
        socket.once("message", () => socket.send('{"type":"snapshot.end"}'));
      };
      server.on("upgrade", (request, socket, head) => sockets.handleUpgrade(request, socket, head, take));
      return listen(server);
    },
    async publish(n) {
      const at = wallNow();
      const text = JSON.stringify({ type: "changes", from: n, changes: [change(n)], time: 1 });
      for (const socket of opened) socket.send(text);
      return at;
    },
  };
}

const { values } = parseArgs({ options: { kind: { type: "string", default: "bare" } } });
const subject = values.kind === "feed" ? feed() : bare();

servePeer({
  start: async ({ folder }: FanServerAsks["start"]): Promise<FanServerAnswers["start"]> => ({ url: await subject.start(folder) }),
  publish: async ({ n }: FanServerAsks["publish"]): Promise<FanServerAnswers["publish"]> => ({ at: await subject.publish(n) }),
  async cpu(): Promise<FanServerAnswers["cpu"]> {
    const { user, system } = process.cpuUsage();
    return { ms: (user + system) / 1_000 };
  },
});
