import type { Server } from "node:https";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type HTTPMethods } from "fastify";
import type { Log } from "../../lib/log.ts";
import { boundPerSource } from "./connections.ts";
import { LastAnswers } from "./last-answers.ts";
import { REGISTER } from "./limits.ts";
import { asProblem, methodNotAllowed, notFound, rateLimited, refuseConnection, sendProblem } from "./problems.ts";
import { sourceOf } from "./source.ts";

export type App = FastifyInstance<Server>;

const MIN_TLS = "TLSv1.2";

/** What TLS of a listener needs: PEM of the private key, and of the certificate with its chain. */
export interface AppTls {
  readonly key: string;
  readonly cert: string;
}

export interface AppParts {
  readonly tls: AppTls;
  /** Asks for a client certificate and takes any, or none: which of them counts is for whoever handles the request. */
  readonly requestCert: boolean;
  /** Told the code of each request that is refused. */
  readonly onRefused: (code: string) => void;
  readonly log: Log;
}

/** A listener of the register role, with all its bounds and without a route. Closed, it lets the answers that are under way leave first. */
export async function createApp({ tls: { key, cert }, requestCert, onRefused, log }: AppParts): Promise<App> {
  const refuse = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    onRefused(asProblem(error).code);
    sendProblem(error, request, reply, log);
  };
  const app: App = Fastify({
    https: {
      key,
      cert,
      requestCert,
      rejectUnauthorized: false,
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
  const answers = new LastAnswers();
  app.addHook("preClose", async () => {
    // A reader that does not read must not hold the end up.
    if (!(await answers.left())) app.server.closeAllConnections();
  });
  const headers = await fixedHeaders();
  app.addHook("onRequest", (_request, reply, done) => {
    answers.add(reply.raw);
    reply.headers(headers);
    done();
  });
  await app.register(rateLimit, {
    max: REGISTER.requestsPerMinute,
    timeWindow: "1 minute",
    cache: REGISTER.maxSources,
    keyGenerator: sourceOf,
    errorResponseBuilder: rateLimited,
  });
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, async () => {
    throw notFound();
  });
  return app;
}

/**
 * What every answer carries unless its route says otherwise. Helmet's are the same each time, and setting them one by one for each
 * request costs more than to read the request: it is asked once.
 */
async function fixedHeaders(): Promise<Readonly<Record<string, string>>> {
  await using asked = Fastify();
  await asked.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  asked.get("/", (_request, reply) => reply.send({ ...reply.raw.getHeaders() }));
  return { ...(await asked.inject("/")).json<Record<string, string>>(), "cache-control": "no-store" };
}

/** Open connections go on; the next handshakes show the new certificate. */
export const useTls = (app: App, { key, cert }: AppTls): void => app.server.setSecureContext({ key, cert, minVersion: MIN_TLS });

/** Answers the methods that a path has not with 405. */
export function refuseOtherMethods(app: App, allowed: Readonly<Record<string, readonly string[]>>): void {
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
