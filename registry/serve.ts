import { existsSync } from "node:fs";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { startAdmin } from "./admin/start.ts";
import { openPki, serverCertificate } from "./ca/files.ts";
import type { RegistryConfig } from "./config.ts";
import { startFeed } from "./feed/server.ts";
import { startRegister } from "./http/server.ts";
import { pathsOf } from "./paths.ts";
import { startProcess } from "./process/process.ts";
import { takeLead } from "./store/queries.ts";
import { openSqliteStore } from "./store/sqlite.ts";

/** There is nothing to serve yet. */
export class NotInitialisedError extends Error {
  constructor(file: string) {
    super(`Cannot serve: ${file} is not there. Run 'entityos-registry init' first.`);
    this.name = "NotInitialisedError";
  }
}

export interface Serving extends AsyncDisposable {
  /** What stands, for the ready line. */
  readonly registerPort: number;
  readonly controlPort: number;
  readonly socketPath: string;
  /** Resolves when it was disposed of; rejects when it cannot go on by itself: another replica leads. */
  readonly ended: Promise<void>;
}

/**
 * Starts both roles over SQLite: Storage, lead, Process, the operator API with the feed, and register last, so that nobody is
 * answered before everything behind it works. Resolves when all of it listens.
 * @throws NotInitialisedError | PkiError | KeyError | StoreRefusedError | EntranceError
 */
export async function serve(config: RegistryConfig, clock: Clock, log: Log): Promise<Serving> {
  const paths = pathsOf(config);
  // Storage that got lost must not come back empty, with a new epoch, as if nobody had ever been revoked.
  for (const file of [paths.root, paths.database]) if (!existsSync(file)) throw new NotInitialisedError(file);
  const ca = openPki(paths.pki);
  const certificate = (role: "register" | "control") => serverCertificate(paths.pki, role, config[role].names, ca, clock.now());
  const [registerTls, controlTls] = [await certificate("register"), await certificate("control")];

  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openSqliteStore({ file: paths.database, log }));
  const lead = await takeLead(store, clock.now());
  const process = stack.use(await startProcess({ store, lead, config, clock, log }));
  const admin = stack.use(
    await startAdmin({
      config,
      store,
      lead,
      ca,
      clock,
      log,
      tls: controlTls,
      startFeed: (server) => startFeed({ server, config, store, clock, log }),
    }),
  );
  const register = stack.use(
    await startRegister({ config, store, tls: { key: registerTls.key, cert: registerTls.certificate, ca: ca.root }, clock, log }),
  );
  const started = stack.move();
  return {
    registerPort: register.port,
    controlPort: config.control.port,
    socketPath: admin.socketPath,
    ended: process.ended,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}
