import fc from "fast-check";
import { DesiredState } from "../../../agent/desired.ts";
import { FeedRefusedError, FeedSession } from "../../../agent/feed/session.ts";
import { RegistryTime } from "../../../agent/time.ts";
import {
  type ClientMessage,
  type Decoded,
  decodeClientMessage,
  decodeServerMessage,
  encode,
  type ServerMessage,
} from "../../../lib/feed/messages.ts";
import { fuzz, hostileText, mutated } from "../target.ts";

export const name = "feed";

const ALPHABET = '{}[]":,.0123456789-+eE\\ntrufalsabcdh/ \u0000';
const DIGEST = "0123456789abcdef0123456789abcdef";
const TIME = 1_795_000_000_000;
const CEILING = { widest4: 24, widest6: 48, rules: 3 };
const rule = { kind: "rule.set", lane: "ip", prefix: "203.0.113.7/32", expiresAt: TIME } as const;
const trust = { kind: "trust.set", target: "ca", id: "device-1a2b3c4d", body: "PEM" } as const;

const CLIENT: readonly ClientMessage[] = [
  { type: "hello", agent: "host-1", version: "0.1.0", instance: "i", epoch: null, revision: 0, digest: DIGEST },
  { type: "ack", epoch: "e", revision: 7, digest: DIGEST, applyMs: 0.9 },
  { type: "heartbeat", epoch: "e", revision: 7, digest: DIGEST, time: TIME },
];
const SERVER: readonly ServerMessage[] = [
  { type: "welcome", epoch: "e", revision: 7, time: TIME, heartbeatMs: 5_000 },
  { type: "snapshot.begin", epoch: "e", revision: 7, rules: 2, trust: 1 },
  { type: "snapshot.chunk", rules: [["ip", "203.0.113.7/32", TIME]], trust: [trust] },
  { type: "snapshot.end", revision: 7, digest: DIGEST, time: TIME },
  { type: "changes", from: 8, changes: [rule, { kind: "rule.remove", lane: "ipcert", prefix: "2001:db8::/64" }, trust], time: TIME },
  { type: "heartbeat", revision: 7, digest: DIGEST, time: TIME },
  { type: "ahead", epoch: "e", revision: 7 },
  { type: "restart", spreadMs: 500 },
];

const sound = fc.constantFrom(...CLIENT.map(encode), ...SERVER.map(encode));
const wrapped = fc.tuple(fc.constantFrom(...SERVER, ...CLIENT), fc.json()).map(([message, json]) => {
  const [member = "type"] = Object.keys(message).slice(1);
  return encode(message).replace(/}$/, `,"${member}":${json}}`);
});
const text = fc.oneof(hostileText(ALPHABET, 400), mutated(sound, ALPHABET), sound, wrapped, fc.json());

/**
 * The codec answers any text with a message, an unknown type or a reason; what is read reads the same again. An agent's session takes any
 * sequence of messages: it follows or refuses, a refused message leaves what is held as it was, and what is held keeps to its bounds.
 */
export function run(seed: number, count: number): void {
  fuzz(fc.array(text, { minLength: 1, maxLength: 12 }), seed, Math.ceil(count / 6), (texts) => {
    const desired = new DesiredState(CEILING);
    const session = new FeedSession(desired, new RegistryTime({ now: () => TIME, monotonic: () => 0 }), CEILING);
    for (const one of [encode({ type: "welcome", epoch: "e", revision: 7, time: TIME, heartbeatMs: 5_000 }), ...texts]) {
      steady(decodeClientMessage, one);
      const decoded = steady(decodeServerMessage, one);
      if (decoded.kind === "message") follow(session, desired, decoded.message);
    }
  });
}

/** What is read is written and read again the same. */
function steady<T extends ClientMessage | ServerMessage>(decode: (text: string) => Decoded<T>, text: string): Decoded<T> {
  const decoded = decode(text);
  if (decoded.kind === "invalid" && (decoded.reason.length === 0 || decoded.reason.length > 200)) throw new Error("odd reason");
  if (decoded.kind === "message" && JSON.stringify(decode(encode(decoded.message))) !== JSON.stringify(decoded)) {
    throw new Error("reads as another message");
  }
  return decoded;
}

function follow(session: FeedSession, desired: DesiredState, message: ServerMessage): void {
  const before = held(desired);
  try {
    session.handle(message);
  } catch (error) {
    if (!(error instanceof FeedRefusedError)) throw error;
    if (held(desired) !== before) throw new Error("a refused message changed what is held", { cause: error });
  }
  if (desired.size > CEILING.rules) throw new Error("more rules than the ceiling");
}

const held = ({ epoch, revision, digest, size, refused }: DesiredState): string => JSON.stringify([epoch, revision, digest, size, refused]);
