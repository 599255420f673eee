import type { FastifyReply, FastifyRequest } from "fastify";
import { isNotModified, validatorHeaders } from "../../lib/http-caching.ts";
import type { CrlFiles } from "../store/crl-file.ts";
import { notFound } from "./problems.ts";

/** How long a cache may hand a list on without asking: revoked certificates stay hidden from who asks it for no longer. */
const CACHED_S = 60;

/** GET /v1/crl/{ca}.der: the newest list of a CA (RFC 5280 §4.2.1.13, RFC 2585 §4.2). */
export async function getCrl(request: FastifyRequest, reply: FastifyReply, files: CrlFiles): Promise<unknown> {
  const { file } = request.params as { file: string };
  const found = await files.find(file);
  if (found === null) throw notFound();
  const { sha256, this_update } = found.state;
  const validators = { etag: sha256, modified: this_update };
  reply.headers({ ...validatorHeaders(validators), "cache-control": `public, max-age=${CACHED_S}` });
  if (isNotModified(request.headers, validators)) return reply.code(304).send();
  return reply.type("application/pkix-crl").send(found.der);
}
