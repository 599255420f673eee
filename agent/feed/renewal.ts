import { createPrivateKey, X509Certificate } from "node:crypto";
import { request } from "node:https";
import { delay } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import { writeFileAtomic } from "../../lib/file.ts";
import type { Log } from "../../lib/log.ts";
import { requestFor } from "../../lib/pkcs10.ts";
import { checkControl } from "./connection.ts";
import { type Identity, readIdentity } from "./identity.ts";

/** How often the certificate's end is looked at. */
const LOOK_MS = 60 * 60_000;
const TIMEOUT_MS = 30_000;
/** Certificate and chain are below 4 kB. */
const MAX_ANSWER_BYTES = 65_536;

export interface RenewalParts {
  readonly identity: () => Identity;
  /** Told when the new certificate ends, integer milliseconds. */
  readonly onRenewed: (notAfter: number) => void;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
}

/** Renews the agent's certificate when a third of its life is left, until the signal aborts. What fails is tried again in an hour. */
export async function renewInTime({ identity, onRenewed, clock, log }: RenewalParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await renewWhenDue(identity(), clock.now(), signal)
      .then((notAfter) => {
        if (notAfter === null) return;
        onRenewed(notAfter);
        log.info({ notAfter }, "The agent's certificate was renewed");
      })
      .catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, "Cannot renew the agent's certificate; the one before goes on");
      });
    await delay(LOOK_MS, signal).catch(() => {});
  }
}

/**
 * Has the same key certified anew, by its own certificate, and keeps what comes in the state folder: one file, replaced whole.
 * @returns when the new one ends, integer milliseconds; null when none was due
 * @throws Error when no address of control gives a sound one
 */
export async function renewWhenDue(identity: Identity, now: number, signal: AbortSignal): Promise<number | null> {
  const { cert, key } = readIdentity(identity);
  const held = new X509Certificate(cert);
  const [from, until] = [Date.parse(held.validFrom), Date.parse(held.validTo)];
  if (identity.renewed === undefined || until - now > (until - from) / 3) return null;
  const privateKey = createPrivateKey(key);
  const csr = requestFor(privateKey);
  let last: unknown = new Error("no address of control");
  for (const address of identity.addresses) {
    try {
      const pem = await ask(new URL("/v1/agent/renewal", address), identity, JSON.stringify({ csr }), signal);
      const next = new X509Certificate(pem);
      if (!next.checkPrivateKey(privateKey) || next.subjectAltName !== held.subjectAltName || Date.parse(next.validTo) <= until)
        throw new Error(`${address} gives a certificate that is not this agent's next one`);
      writeFileAtomic(identity.renewed, pem, 0o644);
      return Date.parse(next.validTo);
    } catch (error) {
      signal.throwIfAborted();
      last = error;
    }
  }
  throw last;
}

/** @returns the certificate with its chain, PEM */
function ask(url: URL, identity: Identity, body: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body), "entityos-request": "1" };
    const tls = { ...readIdentity(identity), minVersion: "TLSv1.3", checkServerIdentity: checkControl } as const;
    const asking = request(url, { ...tls, method: "POST", agent: false, timeout: TIMEOUT_MS, signal, headers }, (response) => {
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
          resolve(certificateOf(response.statusCode, Buffer.concat(parts).toString()));
        } catch (cause) {
          reject(new Error(`${url.href} answers ${response.statusCode}`, { cause }));
        }
      });
    });
    asking.once("timeout", () => asking.destroy(new Error(`${url.href} does not answer`)));
    asking.once("error", reject);
    asking.end(body);
  });
}

function certificateOf(status: number | undefined, text: string): string {
  const answer: unknown = JSON.parse(text);
  if (status !== 201 || typeof answer !== "object" || answer === null || !("certificate" in answer) || !("chain" in answer))
    throw new Error(text.slice(0, 200));
  return `${String(answer.certificate)}${String(answer.chain)}`;
}
