import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { parseCode } from "../../lib/registration/code.ts";
import { signSubmission } from "../../lib/registration/submission.ts";
import { servePeer } from "../lab/peer.ts";
import type { RegisterServerAnswers } from "./register-server.ts";
import { seededAddress } from "./seed.ts";

/** One client process that registers in bursts, over kept-open connections. Bodies are signed before the clock runs. */
export interface RegisterClientsAsks {
  open: RegisterServerAnswers["start"] & { readonly connections: number };
  burst: { readonly count: number };
}
export interface RegisterClientsAnswers {
  open: Record<string, never>;
  burst: { readonly ms: number };
}

let target: RegisterClientsAsks["open"] | null = null;
let agent = new Agent();
let sent = 0;

function signedBody({ code, registry }: RegisterClientsAsks["open"]): string {
  const { selector, privateKey } = parseCode(code);
  const addresses = [seededAddress(sent++)];
  const [nonce, time] = [randomBytes(16).toString("base64url"), Date.now()];
  const fields = {
    action: "register",
    registry,
    signer: `code:${selector}`,
    addresses,
    csrDigest: null,
    deviceKey: null,
    nonce,
    time,
  } as const;
  return JSON.stringify({ selector, proof: { nonce, time, signature: signSubmission(fields, privateKey) }, addresses });
}

function post(url: string, body: string): Promise<void> {
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const asked = request(new URL("/v1/registrations", url), { method: "POST", agent, headers }, (answer) => {
      const done = () => (answer.statusCode === 201 ? resolve() : reject(new Error(`answered with ${answer.statusCode}`)));
      answer.resume().once("end", done);
    });
    asked.once("error", reject).end(body);
  });
}

servePeer({
  async open(ask: RegisterClientsAsks["open"]): Promise<RegisterClientsAnswers["open"]> {
    target = ask;
    agent = new Agent({ keepAlive: true, maxSockets: ask.connections, ca: readFileSync(ask.ca) });
    return {};
  },
  async burst({ count }: RegisterClientsAsks["burst"]): Promise<RegisterClientsAnswers["burst"]> {
    const to = target;
    if (to === null) throw new Error("not open");
    const bodies = Array.from({ length: count }, () => signedBody(to));
    const startedAt = performance.now();
    await Promise.all(bodies.map((body) => post(to.url, body)));
    return { ms: performance.now() - startedAt };
  },
});
