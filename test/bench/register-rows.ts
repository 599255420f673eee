import { verify } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { publicKeyFromRaw } from "../../lib/registration/code.ts";
import { canonicalSubmission } from "../../lib/registration/submission.ts";
import { newId } from "../../registry/store/id.ts";
import { PROFILE, type PreparedRegistry, REGISTRY, SUBJECT } from "./register-prepared.ts";

export interface SentRegistration {
  readonly selector: string;
  readonly proof: { readonly nonce: string; readonly time: number; readonly signature: string };
  readonly addresses: readonly string[];
}

const DAY_MS = 86_400_000;
/** As long as a digest; what it would be of is work that a floor leaves out. */
const [DIGEST, HASH] = ["0".repeat(32), "0".repeat(64)];

/** Checks a signature by the one key that there is. */
export function checkOf({ publicKey }: Pick<PreparedRegistry, "publicKey">): (sent: SentRegistration) => boolean {
  const key = publicKeyFromRaw(publicKey);
  return ({ selector, proof: { nonce, time, signature }, addresses }) => {
    const signer = `code:${selector}`;
    const fields = { action: "register", registry: REGISTRY, signer, addresses, csrDigest: null, deviceKey: null, nonce, time } as const;
    return verify(null, canonicalSubmission(fields), key, Buffer.from(signature, "base64url"));
  };
}

/** Inserts the rows that stay of a registration of one address, as long as they are there. @returns what it is answered with */
export function rowsOf(db: DatabaseSync): (sent: SentRegistration) => unknown {
  const row = (table: string, columns: string) => db.prepare(`insert into ${table} (${columns}) values (${columns.replace(/\w+/g, "?")})`);
  const submission = row("submissions", "id, received_at, action, signer, submission, signature, observed, digest");
  const used = row("nonces", "signer, nonce, time");
  const device = row("devices", "id, subject, profile, pattern, selector, enrolled_at");
  const grant = row("grants", "id, device, lane, prefix, bytes, created_at, expires_at");
  const rule = row("rules", "lane, prefix, bytes, expires_at");
  const change = row("changes", "revision, at, body, digest");
  const entry = row("audit", "seq, at, actor, action, detail, previous, hash");
  const outcome = row("outcomes", "submission, at, status, body, device, revision");
  // Beyond what making the registry wrote.
  let revision = 1_000;
  return ({ selector, proof: { nonce, time, signature }, addresses }) => {
    const [now, signer, bytes] = [Date.now(), `code:${selector}`, new Uint8Array(4)];
    const [id, owner, expiresAt, prefix] = [newId(now), newId(now), now + DAY_MS, `${addresses[0]}/32`];
    revision++;
    submission.run(id, now, "register", signer, JSON.stringify({ addresses, deviceKey: null, nonce, time }), signature, "127.0.0.1", HASH);
    used.run(signer, nonce, time);
    device.run(owner, SUBJECT, PROFILE, "ip", selector, now);
    grant.run(newId(now), owner, "ip", prefix, bytes, now, expiresAt);
    rule.run("ip", prefix, bytes, expiresAt);
    change.run(revision, now, JSON.stringify({ kind: "rule.set", lane: "ip", prefix, expiresAt }), DIGEST);
    const granted = [{ prefix, lane: "ip", expiresAt }];
    const told = {
      device: owner,
      subject: SUBJECT,
      profile: PROFILE,
      registration: id,
      observed: ["127.0.0.1"],
      addresses: granted,
      revision,
    };
    entry.run(revision, now, signer, "device.enrolled", JSON.stringify(told), HASH, HASH);
    const answer = { id, device: owner, pattern: "ip", addresses: granted };
    outcome.run(id, now, 201, JSON.stringify(answer), owner, revision);
    return { ...answer, sync: { applied: 0, agents: 0 } };
  };
}
