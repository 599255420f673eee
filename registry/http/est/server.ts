import type { AddressInfo } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Log } from "../../../lib/log.ts";
import { readAuthorities } from "../../store/registrations.ts";
import { type App, type AppTls, createApp, refuseOtherMethods, useTls } from "../app.ts";
import { asProblem } from "../problems.ts";
import type { RegistrationParts } from "../submit.ts";
import { sendAttributes, sendCertificates } from "./answer.ts";
import { mediaType, simpleEnroll, simpleReenroll } from "./enroll.ts";

export const EST_PATH = "/.well-known/est";

export interface EstParts {
  readonly listen: { readonly address: string; readonly port: number };
  readonly tls: AppTls;
  /** PEM of the root that clients pin, at each moment. */
  readonly root: () => string;
  /** Puts what stands before a listener before this one too. */
  readonly prepare: (server: App["server"]) => void;
  readonly registrationsPerMinute: number;
  readonly parts: RegistrationParts;
  readonly onRefused: (code: string) => void;
  readonly log: Log;
}

export interface RunningEst extends AsyncDisposable {
  readonly port: number;
  useTls(tls: AppTls): void;
}

type Handler = (request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts) => Promise<unknown>;

/**
 * Starts EST (RFC 7030) on a listener of its own, because it asks for client certificates, and browsers would ask their users for one.
 * Any certificate or none ends the handshake: `simplereenroll` takes those that Storage knows, byte for byte. Labels, serverkeygen and
 * fullcmc are not offered: 404.
 */
export async function startEst({
  listen,
  tls,
  root,
  prepare,
  registrationsPerMinute,
  parts,
  onRefused,
  log,
}: EstParts): Promise<RunningEst> {
  const app = await createApp({ tls, requestCert: true, onRefused, log });
  prepare(app.server);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/pkcs10", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addContentTypeParser("*", (_request, _payload, done) => done(mediaType()));
  const limited = { config: { rateLimit: { max: registrationsPerMinute, timeWindow: "1 minute" } } };
  const challenging = (handle: Handler) => (request: FastifyRequest, reply: FastifyReply) =>
    handle(request, reply, parts).catch((error: unknown) => challenge(error, reply, parts.registry));
  app.get(`${EST_PATH}/cacerts`, async (_request, reply) => {
    const authorities = await parts.store.read(readAuthorities);
    return sendCertificates(reply, authorities.length === 0 ? [root()] : authorities);
  });
  app.get(`${EST_PATH}/csrattrs`, async (_request, reply) => sendAttributes(reply));
  app.post(`${EST_PATH}/simpleenroll`, limited, challenging(simpleEnroll));
  app.post(`${EST_PATH}/simplereenroll`, limited, (request, reply) => simpleReenroll(request, reply, parts));
  refuseOtherMethods(app, {
    [`${EST_PATH}/cacerts`]: ["GET", "HEAD"],
    [`${EST_PATH}/csrattrs`]: ["GET", "HEAD"],
    [`${EST_PATH}/simpleenroll`]: ["POST"],
    [`${EST_PATH}/simplereenroll`]: ["POST"],
  });
  await app.listen({ host: listen.address, port: listen.port });
  const { port } = app.server.address() as AddressInfo;
  log.info({ address: listen.address, port }, "EST listens");
  return { port, useTls: (pair) => useTls(app, pair), [Symbol.asyncDispose]: () => app.close() };
}

/** RFC 9110 §11.6.1: every 401 says how to do better. */
function challenge(error: unknown, reply: FastifyReply, registry: string): never {
  if (asProblem(error).status === 401) reply.header("www-authenticate", `Basic realm="${registry}", charset="UTF-8"`);
  throw error;
}
