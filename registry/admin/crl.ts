import type { FastifyInstance, FastifyRequest } from "fastify";
import { isNotModified, validatorHeaders } from "../../lib/http-caching.ts";
import { Problem } from "../../lib/problem.ts";
import { isAgents } from "../process/agents.ts";
import { CrlFiles } from "../store/crl-file.ts";
import type { Peer } from "./identity.ts";
import type { AdminParts } from "./parts.ts";
import { checkOperator } from "./role.ts";

/** GET /v1/crl/{ca}.der on control: for agents, whose lists outgrew the feed, and for operators. */
export function crlRoute(
  app: FastifyInstance,
  parts: Pick<AdminParts, "store" | "clock">,
  peerOf: (request: FastifyRequest) => Peer,
): void {
  const files = new CrlFiles(parts.store);
  app.get("/v1/crl/:file", async (request, reply) => {
    const peer = peerOf(request);
    const now = parts.clock.now();
    const isAgent = peer.kind === "agent" && (await parts.store.read((db) => isAgents(db, { ...peer, now })));
    if (!isAgent) await checkOperator(parts, peer);
    const { file } = request.params as { file: string };
    const found = await files.find(file);
    if (found === null) throw new Problem(404, "not_found", "There is nothing at this address.");
    const validators = { etag: found.state.sha256, modified: found.state.this_update };
    reply.headers({ ...validatorHeaders(validators), "cache-control": "no-cache" });
    if (isNotModified(request.headers, validators)) return reply.code(304).send();
    return reply.type("application/pkix-crl").send(found.der);
  });
}
