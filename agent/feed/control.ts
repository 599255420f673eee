import { request } from "node:https";
import { checkControl } from "./connection.ts";
import { type Identity, readIdentity } from "./identity.ts";

const TIMEOUT_MS = 30_000;
/** Certificate and chain are below 4 kB. */
const MAX_ANSWER_BYTES = 65_536;

/** What control is asked. */
export interface Question {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: object;
}

/**
 * Asks control's addresses in turn, by the agent's own certificate, until one gives what `accept` takes.
 * @param accept reads an answer's JSON and its status, and throws at one that will not do
 * @throws Error when no address gives any
 */
export async function askControl<T>(
  identity: Identity,
  question: Question,
  accept: (status: number, answer: unknown) => T,
  signal: AbortSignal,
): Promise<T> {
  let last: unknown = new Error("no address of control");
  for (const address of identity.addresses) {
    try {
      return await ask(new URL(question.path, address), identity, question, accept, signal);
    } catch (error) {
      signal.throwIfAborted();
      last = error;
    }
  }
  throw last;
}

/** The certificate of a 201 with its chain, PEM. */
export function certificateIn(status: number, answer: unknown): string {
  if (status !== 201 || typeof answer !== "object" || answer === null || !("certificate" in answer) || !("chain" in answer))
    throw new Error(JSON.stringify(answer).slice(0, 200));
  return `${String(answer.certificate)}${String(answer.chain)}`;
}

function ask<T>(
  url: URL,
  identity: Identity,
  { method, body }: Question,
  accept: (status: number, answer: unknown) => T,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text), "entityos-request": "1" };
    const tls = { ...readIdentity(identity), minVersion: "TLSv1.3", checkServerIdentity: checkControl } as const;
    const asking = request(url, { ...tls, method, agent: false, timeout: TIMEOUT_MS, signal, headers }, (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes > MAX_ANSWER_BYTES) asking.destroy(new Error(`${url.href} gives more than ${MAX_ANSWER_BYTES} bytes`));
        else parts.push(part);
      });
      response.once("error", reject);
      response.once("end", () => {
        try {
          resolve(accept(response.statusCode ?? 0, JSON.parse(Buffer.concat(parts).toString())));
        } catch (cause) {
          reject(new Error(`${url.href} answers ${response.statusCode}`, { cause }));
        }
      });
    });
    asking.once("timeout", () => asking.destroy(new Error(`${url.href} does not answer`)));
    asking.once("error", reject);
    asking.end(text);
  });
}
