import { hash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { decodePem } from "../../lib/pem.ts";
import { parseCode } from "../../lib/registration/code.ts";
import { type Submission, signSubmission } from "../../lib/registration/submission.ts";
import { readBody } from "./probe-https.ts";
import type { Answers, Asks } from "./probe-messages.ts";

const TIMEOUT_MS = 30_000;
/** One connection, kept open between registrations. */
const agents = new Map<string, Agent>();

/**
 * Registers as a device that is not ours would, from the documented protocol: a submission signed by the code, which stays here.
 * The connection is opened first, so `sentAt` is when the request itself goes out.
 */
export async function register(ask: Asks["register"], now: () => number): Promise<Answers["register"]> {
  const { selector, privateKey } = parseCode(ask.code);
  const nonce = randomBytes(16).toString("base64url");
  const time = Date.now();
  const csr = ask.csr === undefined ? null : decodePem("CERTIFICATE REQUEST", ask.csr);
  const csrDigest = csr === null ? null : hash("sha256", csr);
  const submission: Submission = {
    action: "register",
    registry: ask.registry,
    signer: `code:${selector}`,
    addresses: ask.addresses,
    csrDigest,
    deviceKey: null,
    nonce,
    time,
  };
  const proof = { nonce, time, signature: signSubmission(submission, privateKey) };
  const agent = agentFor(ask);
  await exchange(ask, agent, "GET", "/v1/address", "", now);
  return exchange(
    ask,
    agent,
    "POST",
    "/v1/registrations",
    JSON.stringify({ selector, proof, addresses: ask.addresses, ...(ask.csr === undefined ? {} : { csr: ask.csr }) }),
    now,
  );
}

function exchange(
  ask: Asks["register"],
  agent: Agent,
  method: string,
  path: string,
  body: string,
  now: () => number,
): Promise<Answers["register"]> {
  const { url } = ask;
  return new Promise((resolve, reject) => {
    const headers = body === "" ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const options = { method, agent, headers, signal: AbortSignal.timeout(TIMEOUT_MS) };
    const sent = request(new URL(path, url), options, (response) => {
      const answered = async () => ({ status: response.statusCode ?? 0, body: parse(await readBody(response)), sentAt, answeredAt: now() });
      answered().then(resolve, reject);
    });
    sent.once("error", (error: NodeJS.ErrnoException) => {
      // The kept connection was closed for its idleness in this very moment: what changes nothing is asked again (RFC 9110 §9.2.2).
      const again = method === "GET" && sent.reusedSocket && error.code === "ECONNRESET";
      if (again) exchange(ask, agent, method, path, body, now).then(resolve, reject);
      else reject(error);
    });
    const sentAt = now();
    sent.end(body);
  });
}

function agentFor({ url, ca, localAddress }: Asks["register"]): Agent {
  const key = `${url} ${localAddress ?? ""}`;
  const known = agents.get(key);
  if (known) return known;
  const local = localAddress === undefined ? {} : { localAddress };
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: readFileSync(ca), ...local });
  agents.set(key, agent);
  return agent;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
