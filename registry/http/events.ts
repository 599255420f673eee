import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { delay } from "../../lib/abort.ts";
import { syncAt } from "./answer.ts";
import { assertMayKnow, headerProof, namedRegistration } from "./header-proof.ts";
import { REGISTER } from "./limits.ts";
import type { Told } from "./outcomes.ts";
import type { Progress } from "./progress.ts";
import { sourceOf } from "./source.ts";
import type { Streams } from "./streams.ts";
import type { RegistrationParts } from "./submit.ts";

export interface EventParts extends RegistrationParts {
  readonly progress: Progress;
  readonly streams: Streams;
}

/** A comment (HTML Living Standard §9.2.5): says that the stream lives, and nothing else. */
const BEAT = ":\n\n";
/** A full waiting room is asked again no sooner than this. */
const ASK_AGAIN_MS = 1_000;

/**
 * GET /v1/registrations/{id}/events: stored, processed (or refused), applied on n of m, as server-sent events, for those who may know
 * of the registration. Ends when all agents have it or when it was refused; before that after ten minutes or with the registry, and then
 * says when to come again. Only the newest state is ever told: a reader that is slow misses steps between and holds nothing up.
 */
export async function getEvents(request: FastifyRequest, reply: FastifyReply, parts: EventParts): Promise<unknown> {
  const { id } = request.params as { id: string };
  const row = await parts.store.read((db) => namedRegistration(db, request));
  assertMayKnow({ row, proof: headerProof(request), id }, parts.registry, parts.clock.now());
  const place = parts.streams.open(sourceOf(request));
  reply.raw.once("close", () => place.release());
  return reply.type("text/event-stream").send(Readable.from(events(id, parts, place.signal), { objectMode: false, highWaterMark: 1 }));
}

/** Asks for its next event only when the one before has left: what reads slowly is waited for, not queued for. */
async function* events(id: string, parts: EventParts, signal: AbortSignal): AsyncGenerator<string> {
  try {
    yield event("stored", JSON.stringify({ id }));
    const told = yield* untilTold(id, parts, signal);
    const { status, body, revision } = told.outcome;
    if (status >= 400) {
      yield event("refused", body);
      return;
    }
    yield event("processed", body);
    yield* untilApplied(revision, parts, signal);
  } catch (error) {
    // Its end by time, by its reader or by the registry's stop is no failure.
    if (!signal.aborted) throw error;
    yield retry();
  }
}

async function* untilTold(id: string, { outcomes }: EventParts, signal: AbortSignal): AsyncGenerator<string, Told> {
  for (;;) {
    const told = await outcomes.wait(id, null, REGISTER.streamBeatMs - ASK_AGAIN_MS);
    signal.throwIfAborted();
    if (told !== null) return told;
    yield BEAT;
    await delay(ASK_AGAIN_MS, signal);
  }
}

async function* untilApplied(revision: number, { progress }: EventParts, signal: AbortSignal): AsyncGenerator<string> {
  let last = "";
  for (;;) {
    const look = await progress.look();
    signal.throwIfAborted();
    const sync = syncAt(revision, look.acknowledged);
    const text = event("applied", JSON.stringify(sync));
    yield text === last ? BEAT : text;
    last = text;
    if (sync.applied === sync.agents) return;
    await progress.changed(look, REGISTER.streamBeatMs, signal);
  }
}

/** @param data JSON on one line */
const event = (name: string, data: string): string => `event: ${name}\ndata: ${data}\n\n`;

/** When a reader opens the stream again (HTML Living Standard §9.2.6). */
const retry = (): string => `retry: ${Math.round(REGISTER.streamRetryMs * (1 + Math.random() / 2))}\n\n`;
