/** How one database spells what SQL leaves open. */
export interface Spelling {
  /** 64 bit integer. */
  readonly integer: string;
  readonly bytes: string;
  /** What follows a table's closing parenthesis. */
  readonly table: string;
  /**
   * The same of one with long rows. Where rows are kept by their key, SQLite puts what one has beyond 1,002 bytes on a page of its own, and
   * moves its neighbours when keys are random.
   */
  readonly wide: string;
}

export const SQLITE_SPELLING: Spelling = { integer: "integer", bytes: "blob", table: " strict, without rowid", wide: " strict" };

export interface Migration {
  /** Counts from 1 without gaps. Each runs in one transaction together with the note of its number in `meta`. */
  readonly version: number;
  /** @param epoch the registry's first epoch, a UUID */
  statements(spelling: Spelling, epoch: string): readonly string[];
}

/** The schema that this program knows. A migration that was released is never changed: the next one mends. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, statements: (spelling, epoch) => [...intake(spelling), ...derived(spelling), ...access(spelling), firstHead(epoch)] },
  {
    version: 2,
    statements: ({ integer, table }) => [`create table compromised_keys (spki_sha256 text primary key, at ${integer} not null)${table}`],
  },
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** Exists before any migration: where their number stands. */
export const metaTable = (spelling: Spelling): string =>
  `create table if not exists meta (key text primary key, value text not null)${spelling.table}`;

const firstHead = (epoch: string): string =>
  `insert into head (id, epoch, term, revision, digest, rules) values (1, '${epoch}', 0, 0, '${"0".repeat(32)}', 0)`;

/** What register writes. */
const intake = ({ integer, bytes, table, wide }: Spelling): string[] => [
  `create table submissions (
     id text primary key, received_at ${integer} not null, action text not null, signer text not null, submission text not null,
     signature text not null, csr ${bytes}, observed text not null, digest text not null, idempotency text)${wide}`,
  "create unique index submissions_idempotency on submissions (idempotency) where idempotency is not null",
  `create table inbox (submission text primary key references submissions (id), received_at ${integer} not null, sealed text, shown text)${table}`,
  `create table attempts (
     source text not null, signer text not null, since ${integer} not null, count ${integer} not null, primary key (source, signer))${table}`,
  "create index attempts_since on attempts (since)",
];

/** What the leader writes about changes and outcomes. */
const derived = ({ integer, bytes, table, wide }: Spelling): string[] => [
  `create table head (
     id ${integer} primary key check (id = 1), epoch text not null, term ${integer} not null, revision ${integer} not null,
     digest text not null, rules ${integer} not null)${table}`,
  `create table changes (revision ${integer} primary key, at ${integer} not null, body text not null, digest text not null)${table}`,
  `create table rules (
     lane text not null, prefix text not null, bytes ${bytes} not null, expires_at ${integer} not null, primary key (lane, prefix))${table}`,
  `create table trust (target text not null, id text not null, body text not null, primary key (target, id))${table}`,
  `create table outcomes (
     submission text primary key references submissions (id), at ${integer} not null, status ${integer} not null, body text not null,
     device text, revision ${integer} not null)${wide}`,
  "create index outcomes_device on outcomes (device, submission) where device is not null",
  "create index outcomes_refused on outcomes (at) where status >= 400",
  // By time first: what is used at one time lies together, where a nonce alone would be a page of its own in every commit.
  `create table nonces (time ${integer} not null, signer text not null, nonce text not null, primary key (time, signer, nonce))${table}`,
  `create table audit (
     seq ${integer} primary key, at ${integer} not null, actor text not null, action text not null, detail text not null,
     previous text not null, hash text not null)${table}`,
];

/** What the leader writes about who may do what. */
const access = ({ integer, bytes, table, wide }: Spelling): string[] => [
  `create table profiles (
     name text primary key, pattern text not null, addresses text not null, address_lifetime_ms ${integer} not null,
     certificate_lifetime_ms ${integer} not null, max_addresses ${integer} not null, widest4 ${integer} not null,
     widest6 ${integer} not null, observed6 ${integer} not null,
     plain_code ${integer} not null check (plain_code in (0, 1)), reenroll ${integer} not null check (reenroll in (0, 1)))${table}`,
  `create table codes (
     selector text primary key, subject text not null, profile text not null references profiles (name), public_key text not null,
     uses ${integer} not null check (uses > 0), used ${integer} not null check (used between 0 and uses), created_at ${integer} not null,
     expires_at ${integer} not null, withdrawn_at ${integer})${table}`,
  `create table devices (
     id text primary key, subject text not null, profile text not null references profiles (name), pattern text not null,
     selector text not null references codes (selector), public_key text, enrolled_at ${integer} not null, ended_at ${integer},
     end_reason text)${table}`,
  `create table grants (
     id text primary key, device text not null references devices (id), lane text not null, prefix text not null, bytes ${bytes} not null,
     created_at ${integer} not null, expires_at ${integer} not null, ended_at ${integer}, end_reason text)${table}`,
  `create table crowded (
     lane text not null, prefix text not null, since ${integer} not null, told ${integer} not null, primary key (lane, prefix))${table}`,
  "create index crowded_untold on crowded (since) where told = 0",
  "create index grants_live_rule on grants (lane, prefix, expires_at) where ended_at is null",
  "create index grants_live_expiry on grants (expires_at) where ended_at is null",
  "create index grants_device on grants (device, id)",
  "create index grants_ended on grants (ended_at) where ended_at is not null",
  // Not "lane = 'ipcert'": SQLite plans every query by "lane = ?" anew at each value, to see whether such an index serves it.
  "create index grants_live_binding on grants (device, prefix, expires_at) where ended_at is null and lane <> 'ip'",
  `create table agents (
     name text primary key, zone text not null, fingerprint text not null, enrolled_at ${integer} not null, revoked_at ${integer},
     acked_revision ${integer} not null, seen_at ${integer})${table}`,
  "create index agents_live on agents (zone, acked_revision) where revoked_at is null",
  `create table certificates (
     fingerprint text primary key, serial text not null, issuer text not null, subject text not null, device text references devices (id),
     state text not null, not_before ${integer} not null, not_after ${integer} not null, ends_at ${integer} not null,
     revoked_at ${integer}, reason text, pem text not null)${wide}`,
  "create unique index certificates_serial on certificates (issuer, serial)",
  "create index certificates_subject on certificates (subject)",
  "create index certificates_device on certificates (device, not_before) where device is not null",
  "create index certificates_issuer_end on certificates (issuer, not_after)",
  `create table authorities (
     ca text primary key, kind text not null, name text not null, state text not null, certificate text not null, told ${integer},
     since ${integer} not null)${table}`,
  // Holds all that a list says: its rows lie anywhere in the table, and to look each up took ten times as long.
  "create index certificates_revoked on certificates (issuer, serial, not_after, revoked_at, reason) where state = 'revoked'",
  `create table crls (
     ca text primary key, name text not null, wanted ${integer} not null, covered ${integer} not null, number ${integer} not null,
     this_update ${integer} not null, next_update ${integer} not null, sha256 text not null, der ${bytes} not null,
     logged text not null)${wide}`,
  "create unique index crls_name on crls (name)",
  "create index certificates_live_end on certificates (ends_at) where state = 'live'",
];
