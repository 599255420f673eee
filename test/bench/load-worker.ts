import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { parseCode } from "../../lib/registration/code.ts";
import { csrDigest, csrFromPem } from "../../lib/registration/csr.ts";
import { signSubmission } from "../../lib/registration/submission.ts";
import { servePeer } from "../lab/peer.ts";

/** Registers distinct addresses, or certificates, at a steady rate over a few kept-open connections, whatever the answers take, until it is told to stop. */
export interface LoadAsks {
  start: {
    readonly url: string;
    readonly ca: string;
    readonly registry: string;
    readonly code: string;
    readonly perSecond: number;
    /** PEM of the request that each registration carries, instead of an address; null for none. */
    readonly csr: string | null;
  };
  stop: Record<string, never>;
}
export interface LoadAnswers {
  start: Record<string, never>;
  /** Accepted in a second, over the whole time; anything but a 201 is a failure. */
  stop: { readonly perSecond: number; readonly failed: number };
}

const CONNECTIONS = 32;
const TICK_MS = 10;
/** Requests under way; beyond them none is sent, so the rate that is told falls short. */
const MAX_UNDER_WAY = 2_000;

let timer: NodeJS.Timeout | undefined;
let startedAt = 0;
const counted = { sent: 0, accepted: 0, failed: 0, underWay: 0 };

function registerOne({ url, registry, csr }: LoadAsks["start"], agent: Agent, code: ReturnType<typeof parseCode>): void {
  const number = counted.sent++;
  const addresses = csr === null ? [`198.19.${(number >> 8) & 255}.${number & 255}`] : [];
  const digest = csr === null ? null : csrDigest(csrFromPem(csr));
  const nonce = randomBytes(16).toString("base64url");
  const time = Date.now();
  const signer = `code:${code.selector}`;
  const signature = signSubmission(
    { action: "register", registry, signer, addresses, csrDigest: digest, deviceKey: null, nonce, time },
    code.privateKey,
  );
  const body = JSON.stringify({ selector: code.selector, proof: { nonce, time, signature }, addresses, csr });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  counted.underWay++;
  const done = (accepted: boolean) => {
    counted.underWay--;
    counted[accepted ? "accepted" : "failed"]++;
  };
  const sent = request(new URL("/v1/registrations", url), { method: "POST", agent, headers }, (answer) => {
    answer.resume().once("close", () => done(answer.statusCode === 201));
  });
  sent.once("error", () => done(false));
  sent.end(body);
}

servePeer({
  async start(ask: LoadAsks["start"]): Promise<LoadAnswers["start"]> {
    const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, ca: readFileSync(ask.ca) });
    const code = parseCode(ask.code);
    startedAt = performance.now();
    timer = setInterval(() => {
      const due = ((performance.now() - startedAt) / 1_000) * ask.perSecond;
      while (counted.sent < due && counted.underWay < MAX_UNDER_WAY) registerOne(ask, agent, code);
    }, TICK_MS);
    return {};
  },
  async stop(): Promise<LoadAnswers["stop"]> {
    clearInterval(timer);
    return { perSecond: Math.round((counted.accepted / (performance.now() - startedAt)) * 1_000), failed: counted.failed };
  },
});
