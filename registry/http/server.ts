import type { KeyObject } from "node:crypto";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type HTTPMethods } from "fastify";
import type { Clock } from "../../lib/clock.ts";
import { parsePrefix } from "../../lib/ip.ts";
import type { Log } from "../../lib/log.ts";
import type { RegistryConfig } from "../config.ts";
import { CrlFiles } from "../store/crl-file.ts";
import { readHead } from "../store/queries.ts";
import type { Store } from "../store/store.ts";
import { Attempts } from "./attempts.ts";
import { boundPerSource } from "./connections.ts";
import { getCrl } from "./crl.ts";
import { getEvents } from "./events.ts";
import { deleteRegistration } from "./leave.ts";
import { REGISTER } from "./limits.ts";
import { Observations } from "./observation.ts";
import { Outcomes } from "./outcomes.ts";
import { asProblem, methodNotAllowed, notFound, rateLimited, refuseConnection, sendProblem } from "./problems.ts";
import { Progress } from "./progress.ts";
import { behindProxies } from "./proxy.ts";
import { postRegistration } from "./registrations.ts";
import { postRenewal } from "./renewals.ts";
import { observedAddress, sourceOf } from "./source.ts";
import { getRegistration } from "./status.ts";
import { Streams } from "./streams.ts";

type App = FastifyInstance<Server>;

const MIN_TLS = "TLSv1.2";

export interface RegisterParts {
  readonly config: Pick<RegistryConfig, "name" | "limits"> & { readonly register: Omit<RegistryConfig["register"], "certificate" | "key"> };
  readonly store: Store;
  readonly tls: {
    /** PEM of the private key, and of the certificate with its chain. */
    readonly key: string;
    readonly cert: string;
    /** PEM of the root that clients pin: what /v1/ca.pem tells. */
    readonly ca: string;
  };
  /** Public half of control's sealing key. */
  readonly sealing: KeyObject;
  /** Told the code of each request that is refused. */
  readonly onRefused: (code: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Starts the register role: HTTPS where anyone may knock. Resolves once it listens; disposing lets open requests finish. */
export async function startRegister({
  config,
  store,
  tls,
  sealing,
  onRefused,
  clock,
  log,
}: RegisterParts): Promise<
  AsyncDisposable & { readonly port: number; useTls(tls: { readonly key: string; readonly cert: string }): void }
> {
  const outcomes = new Outcomes(store, log);
  const attempts = new Attempts(config.limits, { store, clock, log });
  const app = await createApp(tls, onRefused, log);
  behindProxies(
    app.server,
    config.register.proxies.map((network) => parsePrefix(network)),
    log,
  );
  const { registrationsPerMinute } = config.limits;
  const progress = new Progress(store);
  const streams = new Streams();
  const observations = await Observations.start(store, clock);
  const parts = { registry: config.name, store, clock, outcomes, progress, streams, observations, attempts, sealing };
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
  app.get("/v1/ca.pem", async (_request, reply) => reply.type("application/x-pem-file").send(tls.ca));
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
  const dispose = async (): Promise<void> => {
    streams[Symbol.dispose]();
    progress[Symbol.dispose]();
    outcomes[Symbol.dispose]();
    attempts[Symbol.dispose]();
    await app.close();
  };
  try {
    await app.listen({ host: config.register.address, port: config.register.port });
  } catch (error) {
    await dispose();
    throw error;
  }
  const { port } = app.server.address() as AddressInfo;
  log.info({ address: config.register.address, port }, "Register listens");
  // Open connections go on; the next handshakes show the new one.
  const useTls = ({ key, cert }: { readonly key: string; readonly cert: string }) =>
    app.server.setSecureContext({ key, cert, minVersion: MIN_TLS });
  return { port, useTls, [Symbol.asyncDispose]: dispose };
}

async function createApp(tls: RegisterParts["tls"], onRefused: RegisterParts["onRefused"], log: Log): Promise<App> {
  const refuse = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    onRefused(asProblem(error).code);
    sendProblem(error, request, reply, log);
  };
  const app: App = Fastify({
    https: {
      key: tls.key,
      cert: tls.cert,
      minVersion: MIN_TLS,
      handshakeTimeout: REGISTER.handshakeTimeoutMs,
      headersTimeout: REGISTER.requestTimeoutMs,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: REGISTER.maxHeaderBytes,
    },
    bodyLimit: REGISTER.maxBodyBytes,
    requestTimeout: REGISTER.requestTimeoutMs,
    connectionTimeout: REGISTER.idleTimeoutMs,
    keepAliveTimeout: REGISTER.keepAliveMs,
    clientErrorHandler: refuseConnection,
    frameworkErrors: refuse,
  });
  app.server.maxConnections = REGISTER.maxConnections;
  boundPerSource(app.server, REGISTER.maxConnectionsPerSource);
  app.removeContentTypeParser("text/plain");
  app.setErrorHandler(refuse);
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  await app.register(rateLimit, {
    max: REGISTER.requestsPerMinute,
    timeWindow: "1 minute",
    cache: REGISTER.maxSources,
    keyGenerator: sourceOf,
    errorResponseBuilder: rateLimited,
  });
  app.addHook("onSend", async (_request, reply) => {
    if (!reply.hasHeader("cache-control")) reply.header("cache-control", "no-store");
  });
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, async () => {
    throw notFound();
  });
  return app;
}

function refuseOtherMethods(app: App, allowed: Readonly<Record<string, readonly string[]>>): void {
  for (const [url, methods] of Object.entries(allowed)) {
    const others = app.supportedMethods.filter((method) => !methods.includes(method)) as HTTPMethods[];
    const allow = methods.join(", ");
    app.route({
      method: others,
      url,
      handler: async (_request, reply) => {
        reply.header("allow", allow);
        throw methodNotAllowed(allow);
      },
    });
  }
}
