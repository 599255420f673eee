import { type KeyObject, randomBytes } from "node:crypto";
import { Backoff } from "../../lib/backoff.ts";
import { Problem } from "../../lib/problem.ts";
import { type Submission, signSubmission } from "../../lib/registration/submission.ts";
import type { Pending } from "./device-state.ts";
import { type Answer, ask, ConnectionError, type Endpoint, isRecord, type Question } from "./http.ts";
import type { Io } from "./io.ts";

/** What a registration came to (docs/protocol.md). */
export interface Registered {
  readonly id: string;
  readonly device: string;
  readonly pattern: string;
  readonly addresses: readonly { readonly prefix: string; readonly lane: string; readonly expiresAt: number }[];
  readonly sync: { readonly applied: number; readonly agents: number };
}

export interface SubmitParts {
  readonly endpoint: Endpoint;
  /** The request to send, and how to make it anew for another time. */
  readonly first: Pending;
  make(now: number): Pending;
  /** Keeps the request before it is sent, so that a later run can send it again. */
  keep(pending: Pending): void;
  /** What signs questions for the outcome: the key that signed the request, and its name. */
  readonly signer: string;
  readonly key: KeyObject;
  readonly registry: string;
  readonly io: Io;
}

const PATH = "/v1/registrations";
/** A network error or a 5xx is followed by another attempt, the same bytes under the same key, this often. */
const MAX_ATTEMPTS = 6;
const RETRY = { minMs: 500, maxMs: 8_000 };
/** The outcome of a stored registration is asked for this long. */
const MAX_POLLS = 30;
const POLL = { minMs: 500, maxMs: 2_000 };

/**
 * Sends a registration until its outcome is known.
 * @throws Problem what refused it, or outcome_unknown when it is stored and not concluded | ConnectionError
 */
export async function submit(parts: SubmitParts): Promise<Registered> {
  const { endpoint, first, make, keep, io } = parts;
  const send = async (pending: Pending): Promise<Answer> => {
    keep(pending);
    const headers = { "idempotency-key": pending.idempotencyKey };
    return await patiently(() => ask(endpoint, { method: "POST", path: PATH, headers, body: pending.body }), io);
  };
  let skewMs = 0;
  const answer = await send(first).catch((error: unknown) => {
    // This device's clock is wrong by more than a proof may be old: the registry says what time it is, once.
    const time = error instanceof Problem && error.code === "proof_time" ? error.extra.now : undefined;
    if (typeof time !== "number") throw error;
    skewMs = time - io.now();
    return send(make(time));
  });
  return answer.status === 202 ? await outcome(answer, skewMs, parts) : registered(answer);
}

/** Asks for what became of a stored registration. @param skewMs how far the registry's clock is before this device's */
async function outcome(stored: Answer, skewMs: number, { endpoint, signer, key, registry, io }: SubmitParts): Promise<Registered> {
  const path = stored.location;
  if (path === null || !/^\/v1\/registrations\/[0-9a-f-]{36}$/.test(path)) throw unreadable();
  const backoff = new Backoff(POLL);
  for (let poll = 0; poll < MAX_POLLS; poll++) {
    await io.sleep(backoff.next());
    const question: Question = { method: "GET", path, headers: proofHeaders({ signer, key, registry, time: io.now() + skewMs }) };
    const answer = await patiently(() => ask(endpoint, question), io);
    if (!isRecord(answer.body) || answer.body.state !== "stored") return registered(answer);
  }
  throw new Problem(503, "outcome_unknown", "The registration is stored, and the registry has not decided it yet.");
}

/** A proof for a question, which has no body to carry it. */
function proofHeaders({
  signer,
  key,
  registry,
  time,
}: {
  signer: string;
  key: KeyObject;
  registry: string;
  time: number;
}): Record<string, string> {
  const nonce = randomBytes(16).toString("base64url");
  const submission: Submission = { action: "status", registry, signer, addresses: [], csrDigest: null, deviceKey: null, nonce, time };
  return { "entityos-time": String(time), "entityos-nonce": nonce, "entityos-signature": signSubmission(submission, key) };
}

async function patiently(attempt: () => Promise<Answer>, io: Io): Promise<Answer> {
  const backoff = new Backoff(RETRY);
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      const passing =
        error instanceof ConnectionError ? error.retry : error instanceof Problem && (error.status >= 500 || error.status === 429);
      if (!passing || attempts === MAX_ATTEMPTS) throw error;
      await io.sleep(backoff.next());
    }
  }
}

/** @throws Problem answer_unreadable unless it is a registration */
function registered({ body }: Answer): Registered {
  if (!isRecord(body)) throw unreadable();
  const { id, device, pattern, addresses, sync } = body;
  const whole = [id, device, pattern].every((text) => typeof text === "string") && Array.isArray(addresses) && isRecord(sync);
  if (!whole || !addresses.every(isAddress)) throw unreadable();
  return body as unknown as Registered;
}

const isAddress = (value: unknown): boolean =>
  isRecord(value) && typeof value.prefix === "string" && typeof value.lane === "string" && typeof value.expiresAt === "number";

const unreadable = (): Problem => new Problem(502, "answer_unreadable", "The answer is not a registration: is this address a registry's?");
