import type { RuleLane } from "../service.ts";

/** The wire of the operator API: types and bounds, nothing that runs. Times are integer milliseconds since 1970. */
export const ADMIN = {
  prefix: "/v1/admin",
  /** Header that a page of another site cannot send without being asked for leave, which is never given. */
  header: "entityos-request",
  maxBodyBytes: 64 * 1024,
  /** Items in one page, when the caller does not say, and at most. */
  defaultLimit: 100,
  maxLimit: 1_000,
} as const;

/** One page; `next` goes into `?after=` for the page behind it, null when there is none. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface NewCode {
  readonly selector: string;
  /** base64url of the 32 raw bytes of its Ed25519 key. The code itself never comes here. */
  readonly publicKey: string;
  readonly subject: string;
  readonly profile: string;
  readonly uses: number;
  readonly expiresAt: number;
}

export interface Code {
  readonly selector: string;
  readonly subject: string;
  readonly profile: string;
  readonly uses: number;
  readonly used: number;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly withdrawnAt: number | null;
}

export const PATTERNS = ["ip", "cert", "either", "both"] as const;
export type Pattern = (typeof PATTERNS)[number];

export interface ProfileSettings {
  readonly pattern: Pattern;
  /** "observed", "any", or the networks that an address must be within. */
  readonly addresses: "observed" | "any" | readonly string[];
  readonly addressLifetimeMs: number;
  readonly certificateLifetimeMs: number;
  readonly maxAddresses: number;
  readonly widest4: number;
  readonly widest6: number;
  readonly observed6: 64 | 128;
  /** A client may send the security code itself instead of signing with it. */
  readonly plainCode: boolean;
  /** A client certificate that register saw is enough for the device's next certificate (EST). */
  readonly reenroll: boolean;
}

export interface Profile extends ProfileSettings {
  readonly name: string;
}

export interface Device {
  readonly id: string;
  readonly subject: string;
  readonly profile: string;
  readonly pattern: Pattern;
  /** Of the code that enrolled it. */
  readonly selector: string;
  readonly enrolledAt: number;
  readonly endedAt: number | null;
  readonly endReason: "revoked" | "left" | null;
}

export interface Grant {
  readonly id: string;
  readonly device: string;
  readonly lane: RuleLane;
  readonly prefix: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly endedAt: number | null;
  readonly endReason: "expired" | "revoked" | "left" | null;
  /** Many devices are admitted from this prefix (the setting limits.devicesPerAddress). */
  readonly crowded: boolean;
}

export interface DeviceDetail extends Device {
  readonly grants: readonly Grant[];
  /** The newest, ended ones too. */
  readonly certificates: readonly Certificate[];
}

export interface Agent {
  readonly name: string;
  readonly zone: "open" | "restricted";
  /** SHA-256 of its certificate, lower-case hex. */
  readonly fingerprint: string;
  readonly enrolledAt: number;
  readonly revokedAt: number | null;
  /** Revision that it last acknowledged, as far as Storage knows. */
  readonly ackedRevision: number;
  readonly seenAt: number | null;
  /** What its live feed says; null when it has none here. */
  readonly feed: AgentFeed | null;
}

export interface AgentFeed {
  /**
   * "greeting": it did not say yet what it holds · "snapshot", "behind": it is being brought up to date · "live" ·
   * "ahead": it holds what Storage does not, and keeps it until a new epoch.
   */
  readonly phase: "greeting" | "snapshot" | "behind" | "live" | "ahead";
  /** Of `revision`; null until it told. */
  readonly epoch: string | null;
  readonly revision: number;
  /** Of what stands in its kernel; null until it told. */
  readonly digest: string | null;
  readonly connectedAt: number;
  readonly seenAt: number;
  readonly lastApplyMs: number;
  /** Messages that it sent and this registry does not know. */
  readonly unknownMessages: number;
  /** How often another program with this agent's name took the feed over, since the registry started. */
  readonly duplicates: number;
}

/** What an agent holds that Storage does not. */
export interface HeldAhead {
  readonly agent: string;
  readonly epoch: string;
  readonly revision: number;
}

export interface EpochBegun {
  readonly epoch: string;
  readonly previous: string;
  /** Where the new epoch begins. */
  readonly revision: number;
  /** Revisions of the previous epoch that connected agents held and Storage does not; null when none did. */
  readonly lost: { readonly from: number; readonly to: number } | null;
  readonly ahead: readonly HeldAhead[];
}

export interface NewAgent {
  readonly name: string;
  readonly zone: "open" | "restricted";
  /** PKCS #10 in PEM. */
  readonly csr: string;
  /** Take the place of an agent of that name; its old certificate is revoked. */
  readonly replace: boolean;
}

export interface NewServerCertificate {
  /** Names and addresses that go into the certificate. */
  readonly names: readonly string[];
  readonly csr: string;
}

export interface NewOperator {
  readonly name: string;
  readonly csr: string;
  /** What the certificate is for: everything, or reading metrics alone. */
  readonly role: "operator" | "metrics";
}

/** A certificate that was made, all in PEM. */
export interface IssuedCertificate {
  readonly certificate: string;
  /** What goes behind it. */
  readonly chain: string;
  /** The root to pin. */
  readonly ca: string;
  readonly notAfter: number;
}

/** A CA of the registry, and how far it is. */
export interface CertificateAuthority {
  /** "device-1a2b3c4d". */
  readonly id: string;
  readonly role: "root" | "infrastructure CA" | "device CA";
  /** Common name of the root that signed it. */
  readonly signedBy: string;
  /** `next` waits until every gate has it; `retired` signs lists alone, until its last certificate ended; `withdrawn` is taken out. */
  readonly state: "next" | "active" | "retired" | "withdrawn";
  readonly notAfter: number;
  /** False where its key is kept elsewhere. */
  readonly keyHere: boolean;
  /** Its newest list; null before the first. */
  readonly crl: { readonly number: number; readonly thisUpdate: number; readonly nextUpdate: number } | null;
  /** Gates that a `next` one still waits for, a hundred at most. */
  readonly waitingFor: readonly string[];
}

/** Why a certificate was revoked, in the words of RFC 5280 §5.3.1. */
export const REVOCATION_REASONS = [
  "unspecified",
  "keyCompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
] as const;
export type RevocationReason = (typeof REVOCATION_REASONS)[number];

/** A certificate that the registry made. */
export interface Certificate {
  /** SHA-256 of the DER, lower-case hex: its name. */
  readonly fingerprint: string;
  readonly serial: string;
  /** Common name of the CA. */
  readonly issuer: string;
  readonly subject: string;
  /** Null for what is no device's. */
  readonly device: string | null;
  readonly state: "live" | "expired" | "superseded" | "revoked";
  readonly notBefore: number;
  readonly notAfter: number;
  /** When it stops counting, unless it is revoked before. */
  readonly endsAt: number;
  readonly revokedAt: number | null;
  readonly reason: RevocationReason | null;
}

export const CA_KINDS = ["device", "infrastructure", "root"] as const;

export interface RevokeCertificate {
  readonly reason: RevocationReason;
}

export interface AuditEntry {
  readonly seq: number;
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly detail: unknown;
  readonly hash: string;
}

/** What a walk through the whole chain of hashes found. */
export interface AuditVerdict {
  readonly ok: boolean;
  readonly entries: number;
  /** First entry that does not fit; null when all do. */
  readonly brokenAt: number | null;
}

export interface RegistryStatus {
  readonly name: string;
  readonly epoch: string;
  readonly revision: number;
  readonly digest: string;
  readonly rules: number;
  readonly devices: number;
  readonly grants: number;
  /** Submissions that wait for Process. */
  readonly inbox: number;
  readonly agents: {
    readonly enrolled: number;
    readonly connected: number;
    /** Connected, and at the head's revision and digest. */
    readonly inSync: number;
    /** Connected, and holding what Storage does not: they wait for a new epoch. */
    readonly ahead: number;
    /** How often a program took over the feed of another with the same name, since the registry started. */
    readonly duplicates: number;
  };
  /** How long the newest timed revision took until it stood on every connected host; null while none was timed. */
  readonly spread: { readonly revision: number; readonly agents: number; readonly ms: number } | null;
  readonly rulesBy: readonly { readonly lane: RuleLane; readonly family: 4 | 6; readonly rules: number }[];
  /** Usable: neither expired, spent nor withdrawn. */
  readonly codes: { readonly made: number; readonly usable: number };
  /** When the oldest waiting submission came; null when none waits. */
  readonly waitingSince: number | null;
  /** Agents with a feed that do not hold the head although it is not new, and enrolled agents without a feed. */
  readonly behind: NamedAgents;
  readonly silent: NamedAgents;
  /** Prefixes that many devices come from, the newest first; ten at most. */
  readonly crowded: readonly { readonly lane: RuleLane; readonly prefix: string; readonly since: number }[];
  /** The newest submissions that were decided. */
  readonly latest: readonly DecidedSubmission[];
  /** What is not well; empty when all is. */
  readonly alarms: readonly { readonly code: string; readonly text: string }[];
}

/** How many there are, and the first ten names. */
export interface NamedAgents {
  readonly agents: number;
  readonly names: readonly string[];
}

export interface DecidedSubmission {
  readonly at: number;
  readonly signer: string;
  readonly action: "register" | "renew" | "leave" | "reenroll";
  readonly device: string | null;
  /** Code of the problem; null when it was done. */
  readonly refused: string | null;
}
