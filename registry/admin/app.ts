import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { ADMIN } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { agentRenewalRoutes } from "./agent-renewal.ts";
import { crlRoute } from "./crl.ts";
import { checkHost, checkOrigin } from "./guard.ts";
import type { Peer, Peers } from "./identity.ts";
import { metricsRoute } from "./metrics.ts";
import { ownNames } from "./names.ts";
import type { AdminParts } from "./parts.ts";
import { answerWithProblems, problemAnswer } from "./problems.ts";
import { checkOperator } from "./role.ts";
import { agentRoutes, certificateRoutes } from "./routes/agents.ts";
import { authorityRoutes } from "./routes/authorities.ts";
import { listedCertificateRoutes } from "./routes/certificates.ts";
import { codeRoutes } from "./routes/codes.ts";
import { deviceRoutes } from "./routes/devices.ts";
import { epochRoutes } from "./routes/epochs.ts";
import { overviewRoutes } from "./routes/overview.ts";
import { profileRoutes } from "./routes/profiles.ts";

const READS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

const ROUTES = [
  codeRoutes,
  profileRoutes,
  deviceRoutes,
  agentRoutes,
  certificateRoutes,
  listedCertificateRoutes,
  authorityRoutes,
  epochRoutes,
  overviewRoutes,
] as const;

/**
 * The operator API as a handler for any number of entrances. It listens nowhere itself, and believes of a request's sender what
 * `peers` knows of the connection.
 */
export async function createAdminApp(parts: Omit<AdminParts, "actorOf" | "isLocal">, peers: Peers): Promise<FastifyInstance> {
  const answer = problemAnswer(parts.log);
  const frameworkErrors = (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => void answer(error, request, reply);
  const app = fastify({ frameworkErrors, bodyLimit: ADMIN.maxBodyBytes, logger: false, routerOptions: { maxParamLength: 128 } });
  // Only JSON: a form of another site could send plain text without asking for leave.
  app.removeContentTypeParser("text/plain");
  answerWithProblems(app, answer);
  const peerOf = (request: FastifyRequest): Peer => peers.of(request.raw.socket);
  const own = ownNames(parts.config.control);
  app.addHook("onRequest", async (request) => checkHost(request.headers, peerOf(request), own));
  app.register(
    async (routes) => {
      routes.addHook("onRequest", async (request) => {
        const peer = peerOf(request);
        await checkOperator(parts, peer);
        if (!READS.has(request.method)) checkOrigin(request.headers, peer, own);
      });
      const all: AdminParts = {
        ...parts,
        actorOf: (request) => actorOf(peerOf(request)),
        isLocal: (request) => peerOf(request).kind === "socket",
      };
      for (const add of ROUTES) add(routes, all);
    },
    { prefix: ADMIN.prefix },
  );
  agentRenewalRoutes(app, parts, peerOf, own);
  crlRoute(app, parts, peerOf);
  metricsRoute(app, parts, peerOf);
  await app.ready();
  return app;
}

function actorOf(peer: Peer): string {
  switch (peer.kind) {
    case "socket":
      return peer.actor;
    case "operator":
      return `operator:${peer.name}`;
    case "agent":
    case "metrics":
    case "other":
      throw new Problem(403, "request_role", "Only operators may ask this.");
    default:
      return peer satisfies never;
  }
}
