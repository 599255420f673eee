import { statSync } from "node:fs";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { createMetrics } from "../lib/metrics.ts";
import { Problem } from "../lib/problem.ts";
import { Proofs } from "../lib/registration/proofs.ts";
import { claimLocalDoor } from "./admin/door.ts";
import { registerUrl } from "./admin/register-url.ts";
import { type StartedAdmin, startAdmin } from "./admin/start.ts";
import { openAuthorities } from "./ca/authorities.ts";
import { fileOf, generationFiles } from "./ca/folder.ts";
import { sweepFiles } from "./ca/generations.ts";
import type { InfrastructureCa } from "./ca/infrastructure.ts";
import { openSealing } from "./ca/sealing.ts";
import { ownTls, type TlsSource, tlsFromFiles } from "./ca/server-tls.ts";
import { namesOf, type RegistryConfig } from "./config.ts";
import { startFeed } from "./feed/server.ts";
import { startRegister } from "./http/server.ts";
import { keysOf } from "./keys-of.ts";
import { countConclusions, countRefusals, measuredStore } from "./measure.ts";
import { pathsOf } from "./paths.ts";
import { settleAuthorities } from "./process/authorities.ts";
import { startProcess } from "./process/process.ts";
import { assertLead, takeLead } from "./store/queries.ts";
import { openSqliteStore } from "./store/sqlite.ts";
import type { Lead, Store } from "./store/store.ts";
import { TlsKeeper } from "./tls-keeper.ts";

const LEAD_LOOK_MS = 1_000;

/** There is nothing to serve yet. */
export class NotInitialisedError extends Error {
  constructor(file: string) {
    super(`There is no registry here yet: ${file} is not there. Run 'entityos-registry init' first.`);
    this.name = "NotInitialisedError";
  }
}

/** @throws the system's error where it may not be seen: what another user keeps is not absent */
export const isThere = (file: string): boolean => statSync(file, { throwIfNoEntry: false }) !== undefined;

export interface Serving extends AsyncDisposable {
  /** What stands, for the ready line. */
  readonly registerPort: number;
  /** Null without EST. */
  readonly estPort: number | null;
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
  if (!isThere(paths.pki) || generationFiles(paths.pki, "root").length === 0)
    throw new NotInitialisedError(fileOf(paths.pki, "root", "crt"));
  if (!isThere(paths.database)) throw new NotInitialisedError(paths.database);
  await using stack = new AsyncDisposableStack();
  const door = stack.use(await claimLocalDoor(config));
  const stopping = new AbortController();
  const keys = keysOf(config, clock, stopping.signal);
  sweepFiles(paths.pki);
  const authorities = openAuthorities(paths.pki, registerUrl(config), keys);
  const { infrastructure: ca } = authorities;
  const sealing = openSealing(paths.pki);
  const metrics = createMetrics({ process: true });
  const store = measuredStore(stack.use(await openSqliteStore({ file: paths.database, log })), metrics, clock);
  await settleAuthorities(store, authorities);
  const keeperOf = (role: "register" | "control", source: TlsSource) => TlsKeeper.open({ role, source, clock, log });
  const registerTls = await keeperOf("register", registerSource(config, paths.pki, ca));
  const controlTls = await keeperOf("control", ownTls(paths.pki, "control", config.control.names, ca));

  const lead = await takeLead(store, clock.now());
  const { lost: leadLost } = stack.use(watchLead(store, lead));
  const onConcluded = countConclusions(metrics);
  const proofs = new Proofs();
  let admin: StartedAdmin | null = null;
  const anchored = (id: string): boolean => admin?.takes(id) ?? false;
  const process = stack.use(
    await startProcess({ store, lead, config, authorities, anchored, sealing: sealing.privateKey, proofs, onConcluded, clock, log }),
  );
  // Process waits for what it signs: a key service that hangs must not hold the end up.
  stack.defer(() => stopping.abort(new Error("the registry stops")));
  const control = stack.use(
    await startAdmin({
      door,
      config,
      store,
      lead,
      ca,
      metrics,
      authorities,
      listeners: () => [
        { role: "register", ...registerTls.life },
        { role: "control", ...controlTls.life },
      ],
      clock,
      log,
      tls: controlTls.current,
      startFeed: (server) => startFeed({ server, config, store, clock, log, metrics }),
    }),
  );
  admin = control;
  stack.use(controlTls.start((pair) => control.useTls(pair)));
  const register = stack.use(
    await startRegister({
      config,
      store,
      tls: { key: registerTls.current.key, cert: registerTls.current.certificate },
      root: () => ca.root,
      sealing: sealing.publicKey,
      proofs,
      onRefused: countRefusals(metrics),
      clock,
      log,
    }),
  );
  stack.use(registerTls.start(({ key, certificate: cert }) => register.useTls({ key, cert })));
  const follow = async (): Promise<void> => {
    await control.followAnchors();
    await Promise.all([controlTls.look(), registerTls.look()]);
  };
  stack.use(authorities.watch(() => void follow().catch((error: unknown) => log.error({ err: error }, "Cannot follow the CAs"))));
  const started = stack.move();
  return {
    registerPort: register.port,
    estPort: register.estPort,
    controlPort: config.control.port,
    socketPath: door.path,
    ended: Promise.race([process.ended, leadLost]),
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** Files where they are configured, else the infrastructure CA. */
function registerSource(config: RegistryConfig, pki: string, ca: InfrastructureCa): TlsSource {
  const { certificate, key } = config.register;
  return certificate === null || key === null
    ? ownTls(pki, "register", namesOf(config, "register"), ca)
    : tlsFromFiles({ certificate, key });
}

/**
 * Looks every second whether this process still leads, because one that does not must not go on as if it did: it would take
 * registrations that nobody decides.
 */
function watchLead(store: Store, lead: Lead): Disposable & { readonly lost: Promise<never> } {
  const { promise: lost, reject } = Promise.withResolvers<never>();
  // Who waits for it is told; a second one need not.
  lost.catch(() => {});
  const timer = setInterval(() => {
    store
      .read((db) => assertLead(db, lead))
      .catch((error: unknown) => {
        if (error instanceof Problem && error.code === "not_leading") reject(error);
      });
  }, LEAD_LOOK_MS);
  return { lost, [Symbol.dispose]: () => clearInterval(timer) };
}
