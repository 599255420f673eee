import { Backoff } from "../../lib/backoff.ts";
import { Problem } from "../../lib/problem.ts";
import { type Answer, ask, ConnectionError, type Endpoint, isRecord, type Question } from "./http.ts";
import type { Io } from "./io.ts";
import { visible } from "./print.ts";
import { proofHeaders, type Signing } from "./proof-headers.ts";

/** What a registration came to (docs/protocol.md). */
export interface Registered {
  readonly id: string;
  readonly device: string;
  readonly pattern: string;
  readonly addresses: readonly { readonly prefix: string; readonly lane: string; readonly expiresAt: number }[];
  /** Null when none was asked for. */
  readonly certificate: AnsweredCertificate | null;
  readonly sync: { readonly applied: number; readonly agents: number };
}

/** PEM of a certificate, and of what goes behind it. */
export interface AnsweredCertificate {
  readonly pem: string;
  readonly chain: string;
}

export interface SubmitParts {
  readonly endpoint: Endpoint;
  /** The request to send: a repetition is the same under the same Idempotency-Key. */
  readonly first: Question;
  /** Makes it anew for another time. */
  make(now: number): Question;
  /** What signs questions for the outcome: the key that signed the request. */
  readonly signing: Signing;
  readonly io: Io;
}

/** A network error or a 5xx is followed by another attempt, the same bytes under the same key, this often. */
const MAX_ATTEMPTS = 6;
const RETRY = { minMs: 500, maxMs: 8_000 };
/** The outcome of a stored registration is asked for this long. */
const MAX_POLLS = 30;
const POLL = { minMs: 500, maxMs: 2_000 };

/**
 * Sends a submission until its outcome is known.
 * @returns what it came to, and how far the registry's clock is before this device's, as far as that mattered
 * @throws Problem what refused it, or outcome_unknown when it is stored and not concluded | ConnectionError
 */
export async function submit(parts: SubmitParts): Promise<{ registered: Registered; skewMs: number }> {
  const { endpoint, first, make, io } = parts;
  const send = (question: Question): Promise<Answer> => patiently(() => ask(endpoint, question), io);
  let skewMs = 0;
  const answer = await send(first).catch((error: unknown) => {
    // This device's clock is wrong by more than a proof may be old: the registry says what time it is, once.
    const time = error instanceof Problem && error.code === "proof_time" ? error.extra.now : undefined;
    if (typeof time !== "number") throw error;
    skewMs = time - io.now();
    return send(make(time));
  });
  return { registered: registeredOf(answer.status === 202 ? await outcome(answer, skewMs, parts) : answer), skewMs };
}

/** Asks for what became of a stored registration. */
async function outcome(stored: Answer, skewMs: number, { endpoint, signing, io }: SubmitParts): Promise<Answer> {
  const path = stored.location;
  if (path === null || !/^\/v1\/registrations\/[0-9a-f-]{36}$/.test(path)) throw unreadable();
  const backoff = new Backoff(POLL);
  for (let poll = 0; poll < MAX_POLLS; poll++) {
    await io.sleep(backoff.next());
    const question: Question = { method: "GET", path, headers: proofHeaders("status", signing, io.now() + skewMs) };
    const answer = await patiently(() => ask(endpoint, question), io);
    if (!isRecord(answer.body) || answer.body.state !== "stored") return answer;
  }
  throw new Problem(503, "outcome_unknown", "The registration is stored, and the registry has not decided it yet.");
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
      io.err(`${visible(reasonOf(error))}; trying again (${attempts} of ${MAX_ATTEMPTS - 1})\n`);
      await io.sleep(backoff.next());
    }
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");

/** @throws Problem answer_unreadable unless it is a registration */
export function registeredOf({ body }: Answer): Registered {
  if (!isRecord(body)) throw unreadable();
  const { id, device, pattern, addresses, certificate = null, sync } = body;
  const named = typeof id === "string" && typeof device === "string" && typeof pattern === "string";
  if (!named || !isAddressList(addresses) || !isCertificate(certificate) || !isRecord(sync)) throw unreadable();
  const { applied, agents } = sync;
  if (typeof applied !== "number" || typeof agents !== "number") throw unreadable();
  return { id, device, pattern, addresses, certificate, sync: { applied, agents } };
}

export const isAddressList = (value: unknown): value is Registered["addresses"] => Array.isArray(value) && value.every(isAddress);

const isCertificate = (value: unknown): value is AnsweredCertificate | null =>
  value === null || (isRecord(value) && typeof value.pem === "string" && typeof value.chain === "string");

const isAddress = (value: unknown): boolean =>
  isRecord(value) && typeof value.prefix === "string" && typeof value.lane === "string" && typeof value.expiresAt === "number";

const unreadable = (): Problem => new Problem(502, "answer_unreadable", "The answer is not a registration: is this address a registry's?");
