import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../lib/clock.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import { silentLog } from "../../../lib/log.ts";
import { createMetrics } from "../../../lib/metrics.ts";
import { createTlsEntrance } from "../../../registry/admin/entrance.ts";
import { Peers } from "../../../registry/admin/identity.ts";
import { makeKeyAndCsr, parseCsrPem } from "../../../registry/ca/csr.ts";
import { makePki, serverCertificate } from "../../../registry/ca/files.ts";
import { commonNameIn } from "../../../registry/ca/issuer-of.ts";
import { parseRegistryConfig } from "../../../registry/config.ts";
import { type Feed, startFeed } from "../../../registry/feed/server.ts";
import { commitChanges, readHead, takeLead } from "../../../registry/store/queries.ts";
import { openSqliteStore } from "../../../registry/store/sqlite.ts";
import { all, type Lead, type Store } from "../../../registry/store/store.ts";
import { openPki } from "../ca/open.ts";

/** Files of one agent: key, certificate with chain, and the pinned root. */
export interface Identity {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export interface Control extends AsyncDisposable {
  readonly store: Store;
  readonly lead: Lead;
  readonly feed: Feed;
  readonly server: Server;
  readonly url: string;
  /** Common name of the infrastructure CA. */
  readonly issuer: string;
  /** HTTP requests and upgrades that reached the program behind TLS. */
  readonly seen: string[];
  enroll(name: string, as?: "agent" | "operator"): Promise<Identity>;
  /** Another listener as the control listener is, under the same names; the caller listens and closes. */
  listener(): Server;
  commit(...changes: Change[]): Promise<number>;
  restart(): Promise<void>;
}

/** A control listener with the real feed, the real Storage and a CA of its own, on loopback. A stall of the machine is shorter than three heartbeats. */
export async function startControl(
  heartbeatMs = 2_000,
  clock: Clock = systemClock,
  metrics = createMetrics({ process: false }),
): Promise<Control> {
  const folder = mkdtempSync(join(tmpdir(), "eos-feed-"));
  const now = Date.now();
  await makePki(join(folder, "pki"), now);
  const ca = openPki(join(folder, "pki"));
  const tls = await serverCertificate(join(folder, "pki"), "control", ["127.0.0.1"], ca, now);
  const store = await openSqliteStore({ file: join(folder, "registry.db"), log: silentLog });
  await store.write((db) => all(db.updateTable("head").set({ epoch: "e1" }).where("id", "=", 1)));
  const lead = await takeLead(store, now);
  const config = parseRegistryConfig("test", `name: register.example\nfeed: { heartbeatMs: ${heartbeatMs} }\n`);
  const seen: string[] = [];
  const anchor = await ca.makeAnchor();
  let server = listen();
  let feed = await startFeed({ server, config, store, clock, log: silentLog, metrics });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  function listen(): Server {
    const made = createTlsEntrance(
      { key: tls.key, certificate: tls.certificate, anchors: [anchor] },
      (_request, response) => response.writeHead(404).end(),
      new Peers(),
      silentLog,
    );
    made.on("request", (request) => seen.push(`${request.method} ${request.url}`));
    made.on("upgrade", (request) => seen.push(`upgrade ${request.url}`));
    return made;
  }
  const stop = async () => {
    await feed[Symbol.asyncDispose]();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };

  return {
    store,
    lead,
    get feed() {
      return feed;
    },
    get server() {
      return server;
    },
    url: `https://127.0.0.1:${port}`,
    issuer: commonNameIn(ca.chain),
    seen,
    listener: listen,
    async enroll(name, as = "agent") {
      const { key, csr } = await makeKeyAndCsr(name);
      const request = parseCsrPem(csr);
      const issued = as === "agent" ? await ca.issueAgent(request, name, now) : await ca.issueOperator(request, name, now);
      if (as === "agent") {
        const row = {
          name,
          zone: "restricted" as const,
          fingerprint: issued.fingerprint,
          enrolled_at: now,
          revoked_at: null,
          acked_revision: 0,
          seen_at: null,
        };
        await store.write((db) =>
          all(
            db
              .insertInto("agents")
              .values(row)
              .onConflict((conflict) => conflict.column("name").doUpdateSet({ fingerprint: issued.fingerprint })),
          ),
        );
      }
      const files = { ca: join(folder, `${name}.ca`), certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
      writeFileSync(files.ca, ca.root);
      writeFileSync(files.certificate, issued.pem + ca.chain);
      writeFileSync(files.key, key);
      return files;
    },
    async commit(...changes) {
      const done = await store.write((db) => commitChanges(db, lead, { changes, now: Date.now() }), ["head"]);
      return done.revision;
    },
    async restart() {
      await stop();
      server = listen();
      feed = await startFeed({ server, config, store, clock, log: silentLog });
      await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await store[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const head = (control: Control) => control.store.read(readHead);
