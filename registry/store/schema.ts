import type { TrustTarget } from "../../lib/feed/messages.ts";

/**
 * `next` signs nothing until every gate knows it; `retired` signs lists alone, until its last certificate ended; `withdrawn` is being
 * taken out by an operator's word.
 */
export type AuthorityState = "next" | "active" | "retired" | "withdrawn" | "ended";

/** `superseded`: the device's next certificate took its place. It leaves the gates as an expired one does, and enters no CRL. */
export type CertificateState = "live" | "expired" | "superseded" | "revoked";

/**
 * Tables of Storage. Portable: text UUIDs, integer milliseconds, canonical prefix text plus bytes, no rowid, no date functions.
 * Intake tables are written by register; derived tables by the one control replica that leads.
 */
export interface Database {
  meta: { key: string; value: string };

  // ── intake (register writes; Process takes the rows of inbox away) ──
  submissions: {
    id: string;
    received_at: number;
    action: "register" | "renew" | "leave" | "reenroll";
    /** `code:SELECTOR` or `device:UUID` */
    signer: string;
    /** The fields of the canonical submission as JSON. */
    submission: string;
    signature: string;
    /** DER of the request to be signed; what the proof says of it is computed anew from these bytes. */
    csr: Uint8Array | null;
    /** Canonical addresses that the client was observed at, with commas between, the peer's first. */
    observed: string;
    digest: string;
    /** SHA-256 hex of the Idempotency-Key. */
    idempotency: string | null;
  };
  inbox: {
    submission: string;
    received_at: number;
    /** The security code itself, sealed to control, where a client sent nothing else; it leaves with the row. */
    sealed: string | null;
    /** SHA-256, lower-case hex, of the client certificate that register saw, where a client can send no proof. */
    shown: string | null;
  };
  /** How often a source tried within a window; see the limits of register. */
  attempts: {
    /** IPv4 address or IPv6 /64, canonical. */
    source: string;
    /** Empty for what was rightly signed; else whose proofs were wrong, "*" for all whom there is no row for. */
    signer: string;
    /** When the window began. */
    since: number;
    count: number;
  };

  // ── derived (the leader writes) ──
  head: { id: number; epoch: string; term: number; revision: number; digest: string; rules: number };
  /** `digest` is that of everything in force after the change. */
  changes: { revision: number; at: number; body: string; digest: string };
  outcomes: {
    submission: string;
    at: number;
    /** HTTP status that the outcome means: 200 or 201, or the problem's. */
    status: number;
    /** JSON: the registration's answer, or the problem. */
    body: string;
    device: string | null;
    /** Revision after which the registration is in force; 0 when none. */
    revision: number;
  };
  /** Nonces that came with a right proof, each with the time that was signed with it. */
  nonces: { time: number; signer: string; nonce: string };
  profiles: {
    name: string;
    pattern: "ip" | "cert" | "either" | "both";
    /** JSON: "observed" | "any" | list of prefixes (within) */
    addresses: string;
    address_lifetime_ms: number;
    certificate_lifetime_ms: number;
    max_addresses: number;
    widest4: number;
    widest6: number;
    /** Prefix length that an observed IPv6 address is registered with: 64 or 128. */
    observed6: number;
    /** 1 when a client may send the code itself, 0 when it must sign. */
    plain_code: number;
    /** 1 when a client certificate that register saw is enough for the next certificate, 0 when a proof is needed. */
    reenroll: number;
  };
  codes: {
    selector: string;
    subject: string;
    profile: string;
    public_key: string;
    uses: number;
    used: number;
    created_at: number;
    expires_at: number;
    withdrawn_at: number | null;
  };
  devices: {
    id: string;
    subject: string;
    profile: string;
    pattern: string;
    selector: string;
    public_key: string | null;
    enrolled_at: number;
    ended_at: number | null;
    end_reason: "revoked" | "left" | null;
  };
  grants: {
    id: string;
    device: string;
    lane: "ip" | "ipcert";
    prefix: string;
    bytes: Uint8Array;
    created_at: number;
    expires_at: number;
    ended_at: number | null;
    end_reason: "expired" | "revoked" | "left" | null;
  };
  /** Prefixes that many devices are admitted from; `told` is 1 once the log said so. */
  crowded: { lane: "ip" | "ipcert"; prefix: string; since: number; told: number };
  rules: { lane: "ip" | "ipcert"; prefix: string; bytes: Uint8Array; expires_at: number };
  /** CAs, CRLs, registered certificates and bindings as the feed tells them: what is in force. */
  trust: { target: TrustTarget; id: string; body: string };
  agents: {
    name: string;
    zone: "open" | "restricted";
    fingerprint: string;
    enrolled_at: number;
    revoked_at: number | null;
    acked_revision: number;
    seen_at: number | null;
  };
  certificates: {
    fingerprint: string;
    serial: string;
    issuer: string;
    /** urn:entityos:agent:NAME and the like, or the server's name */
    subject: string;
    /** Null for what is no device's. */
    device: string | null;
    state: CertificateState;
    not_before: number;
    not_after: number;
    /** When it stops counting unless it is revoked: its own end, or earlier when another one took its place. */
    ends_at: number;
    revoked_at: number | null;
    /** Why it was revoked, in the words of RFC 5280 §5.3.1. */
    reason: string | null;
    pem: string;
  };
  /** Keys that an operator called compromised: SHA-256 of the SubjectPublicKeyInfo, lower-case hex. No certificate is made for them. */
  compromised_keys: { spki_sha256: string; at: number };
  /** Generations of all CAs. */
  authorities: {
    ca: string;
    kind: "root" | "infrastructure" | "device";
    /** Its common name: `issuer` of what it signed. */
    name: string;
    state: AuthorityState;
    /** PEM. */
    certificate: string;
    /** Revision that told the agents of it; null until then. */
    told: number | null;
    /** When it came into its state. */
    since: number;
  };
  /** The newest list of each CA. */
  crls: {
    ca: string;
    /** The CA's common name: `issuer` of what it signed. */
    name: string;
    /** Counts revocations; the list says those up to `covered`. */
    wanted: number;
    covered: number;
    /** 0 while there is no list. */
    number: number;
    this_update: number;
    next_update: number;
    /** Of the DER, lower-case hex. */
    sha256: string;
    der: Uint8Array;
    /** JSON: [revision, characters] of its lists that are still in the change log, oldest first. */
    logged: string;
  };
  audit: { seq: number; at: number; actor: string; action: string; detail: string; previous: string; hash: string };
}
