import type { KeyObject } from "node:crypto";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../lib/clock.ts";
import { parsePrefix } from "../../lib/ip.ts";
import type { Log } from "../../lib/log.ts";
import type { Proofs } from "../../lib/registration/proofs.ts";
import type { RegistryConfig } from "../config.ts";
import { CrlFiles } from "../store/crl-file.ts";
import { readHead } from "../store/queries.ts";
import type { Store } from "../store/store.ts";
import { accepting } from "./accepting.ts";
import { type App, type AppTls, createApp, refuseOtherMethods, useTls } from "./app.ts";
import { Attempts } from "./attempts.ts";
import { CodeKeys } from "./code-keys.ts";
import { getCrl } from "./crl.ts";
import { type RunningEst, startEst } from "./est/server.ts";
import { type EventParts, getEvents } from "./events.ts";
import { deleteRegistration } from "./leave.ts";
import { Observations } from "./observation.ts";
import { Outcomes } from "./outcomes.ts";
import { Progress } from "./progress.ts";
import { behindProxies } from "./proxy.ts";
import { postRegistration } from "./registrations.ts";
import { postRenewal } from "./renewals.ts";
import { observedAddress } from "./source.ts";
import { getRegistration } from "./status.ts";
import { Streams } from "./streams.ts";

export interface RegisterParts {
  readonly config: Pick<RegistryConfig, "name" | "limits"> & { readonly register: Omit<RegistryConfig["register"], "certificate" | "key"> };
  readonly store: Store;
  readonly tls: {
    /** PEM of the private key, and of the certificate with its chain. */
    readonly key: string;
    readonly cert: string;
  };
  /** PEM of the root that clients pin, at each moment: what /v1/ca.pem tells. */
  readonly root: () => string;
  /** Public half of control's sealing key. */
  readonly sealing: KeyObject;
  readonly proofs: Proofs;
  /** Told the code of each request that is refused. */
  readonly onRefused: (code: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RunningRegister extends AsyncDisposable {
  readonly port: number;
  /** Null without EST. */
  readonly estPort: number | null;
  /** Takes another key and certificate, on all its listeners: open connections go on, the next handshakes show the new ones. */
  useTls(tls: AppTls): void;
}

/**
 * Starts the register role: HTTPS where anyone may knock, and EST beside it where the configuration says so. Resolves once it listens;
 * disposing lets open requests finish.
 */
export async function startRegister({
  config,
  store,
  tls,
  root,
  sealing,
  proofs,
  onRefused,
  clock,
  log,
}: RegisterParts): Promise<RunningRegister> {
  const outcomes = new Outcomes(store, log);
  const attempts = new Attempts(config.limits, { store, clock, log });
  const app = await createApp({ tls, requestCert: false, onRefused, log });
  const proxies = config.register.proxies.map((network) => parsePrefix(network));
  behindProxies(app.server, proxies, log);
  const { registrationsPerMinute } = config.limits;
  const progress = new Progress(store);
  const streams = new Streams();
  const observations = await Observations.start(store, clock);
  const about = { registry: config.name, store, clock, proofs, sealing };
  const counted = { attempts, codeKeys: new CodeKeys(store, attempts), accept: accepting(attempts) };
  const parts = { ...about, ...counted, outcomes, progress, streams, observations };
  addRoutes(app, parts, { root, registrationsPerMinute });
  let est: RunningEst | null = null;
  const dispose = async (): Promise<void> => {
    streams[Symbol.dispose]();
    progress[Symbol.dispose]();
    outcomes[Symbol.dispose]();
    attempts[Symbol.dispose]();
    await est?.[Symbol.asyncDispose]();
    await app.close();
  };
  const { address, port: wanted, est: estConfig } = config.register;
  try {
    await app.listen({ host: address, port: wanted });
    if (estConfig !== null) {
      const prepare = (server: App["server"]): void => behindProxies(server, proxies, log);
      const listen = { address, port: estConfig.port };
      est = await startEst({ listen, tls, root, prepare, registrationsPerMinute, parts, onRefused, log });
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  const { port } = app.server.address() as AddressInfo;
  log.info({ address, port }, "Register listens");
  return {
    port,
    estPort: est?.port ?? null,
    useTls(pair) {
      useTls(app, pair);
      est?.useTls(pair);
    },
    [Symbol.asyncDispose]: dispose,
  };
}

function addRoutes(
  app: App,
  parts: EventParts,
  { root, registrationsPerMinute }: { readonly root: () => string; readonly registrationsPerMinute: number },
): void {
  const { store, clock, observations } = parts;
  const limited = { config: { rateLimit: { max: registrationsPerMinute, timeWindow: "1 minute" } } };
  app.post("/v1/registrations", limited, (request, reply) => postRegistration(request, reply, parts));
  app.post("/v1/renewals", limited, (request, reply) => postRenewal(request, reply, parts));
  app.delete("/v1/registrations/:id", limited, (request, reply) => deleteRegistration(request, reply, parts));
  app.get("/v1/registrations/:id", (request, reply) => getRegistration(request, reply, parts));
  app.get("/v1/registrations/:id/events", { exposeHeadRoute: false }, (request, reply) => getEvents(request, reply, parts));
  app.get("/v1/address", async (request) => {
    const observed = observedAddress(request);
    return { ...observed, time: clock.now(), ticket: observations.ticket(observed.address) };
  });
  app.get("/v1/ca.pem", async (_request, reply) => reply.type("application/x-pem-file").send(root()));
  const crls = new CrlFiles(store);
  app.get("/v1/crl/:file", (request, reply) => getCrl(request, reply, crls));
  app.get("/healthz", async () => ({ status: "ok" }));
  app.get("/readyz", async () => {
    await store.read(readHead);
    return { status: "ready" };
  });
  const reads = ["/v1/address", "/v1/ca.pem", "/v1/crl/:file", "/healthz", "/readyz"].map((url) => [url, ["GET", "HEAD"]] as const);
  refuseOtherMethods(app, {
    "/v1/registrations": ["POST"],
    "/v1/renewals": ["POST"],
    "/v1/registrations/:id": ["GET", "HEAD", "DELETE"],
    "/v1/registrations/:id/events": ["GET"],
    ...Object.fromEntries(reads),
  });
}
