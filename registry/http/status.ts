import type { FastifyReply, FastifyRequest } from "fastify";
import { readAcknowledged } from "../store/registrations.ts";
import { answer } from "./answer.ts";
import { assertMayKnow, headerProof, namedRegistration } from "./header-proof.ts";
import type { RegistrationParts } from "./submit.ts";

/** GET /v1/registrations/{id}: what became of a registration and of its device, for those who may know. */
export async function getRegistration(request: FastifyRequest, reply: FastifyReply, parts: RegistrationParts): Promise<unknown> {
  const { store, clock, registry } = parts;
  const { id } = request.params as { id: string };
  const { row: found, acknowledged } = await store.read(function* (db) {
    return { row: yield* namedRegistration(db, request), acknowledged: yield* readAcknowledged(db) };
  });
  const row = assertMayKnow({ row: found, proof: headerProof(request), id }, registry, clock.now());
  if (row.status === null || row.body === null || row.revision === null) return reply.send({ id, state: "stored" });
  return answer(reply, { status: row.status, body: row.body, revision: row.revision }, acknowledged, { ended: row.ended });
}
