import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProfileSettings } from "../../../lib/admin/api.ts";
import { systemClock } from "../../../lib/clock.ts";
import { type Log, silentLog } from "../../../lib/log.ts";
import { generateCode, rawPublicKey } from "../../../lib/registration/code.ts";
import { csrDigest } from "../../../lib/registration/csr.ts";
import { Proofs } from "../../../lib/registration/proofs.ts";
import { type Submission, signSubmission, submissionDigest } from "../../../lib/registration/submission.ts";
import type { Authorities } from "../../../registry/ca/authorities.ts";
import { createCode } from "../../../registry/process/codes.ts";
import { type RunningProcess, startProcess } from "../../../registry/process/process.ts";
import { ensureDefaultProfile, setProfile } from "../../../registry/process/profiles.ts";
import {
  type Accepted,
  type AcceptRules,
  acceptSubmissions,
  MAX_INBOX,
  type NewSubmission,
  wakesOf,
} from "../../../registry/store/accept.ts";
import { newId } from "../../../registry/store/id.ts";
import { takeLead } from "../../../registry/store/queries.ts";
import { openSqliteStore } from "../../../registry/store/sqlite.ts";
import { all, type Builder, type Command, type Lead, type Store, type Together } from "../../../registry/store/store.ts";

export const REGISTRY = "register.example";
/** What register seals to and control opens with. */
export const SEALING = generateKeyPairSync("x25519");
export const HOUR_MS = 3_600_000;

/** Keeps out nobody for whom there is room. */
export const NO_RULES: AcceptRules<NewSubmission> = {
  untimely: () => null,
  *count(_db, submissions) {
    return submissions.map(() => null);
  },
  most: MAX_INBOX,
};
const ACCEPT: Together<NewSubmission, Accepted> = (db, inputs) => acceptSubmissions(db, inputs, NO_RULES);

/** A registry without CAs. */
export const NO_AUTHORITIES: Authorities = {
  device: null,
  get infrastructure(): never {
    throw new Error("no folder");
  },
  all: [],
  crosses: [],
  rootFile: "",
  anchors: async () => [],
  activate: () => {},
  makeNext: () => Promise.reject(new Error("no folder")),
  remove: () => {},
  watch: () => ({ [Symbol.dispose]: () => {} }),
};

/** What a test lays down otherwise than register would. */
interface StoredRow {
  readonly observed?: string | readonly string[];
  readonly signature?: string;
  readonly csr?: Uint8Array;
  readonly sealed?: string;
  /** SHA-256 of the client certificate that register says it saw. */
  readonly shown?: string;
}

export type TestCode = ReturnType<typeof generateCode>;
/** What signs: a code, or a device of {@link Harness.device}. */
export type Signer = Pick<TestCode, "selector" | "privateKey">;
export type TestDevice = Signer & { readonly id: string; readonly registration: string; readonly signer: string };

/** Storage in a folder of its own, with a lead and the default profile, and what tests do with it. */
export class Harness implements AsyncDisposable {
  readonly folder: string;
  readonly store: Store;
  readonly lead: Lead;
  readonly proofs = new Proofs();
  devicesPerAddress = 50;
  /** What the registry's clock says; the system's time when null. */
  now: number | null = null;
  /** What its clock that never steps says; the system's when null. */
  monotonic: number | null = null;

  private constructor(folder: string, store: Store, lead: Lead) {
    this.folder = folder;
    this.store = store;
    this.lead = lead;
  }

  static async open(folder = mkdtempSync(join(tmpdir(), "entityos-registry-"))): Promise<Harness> {
    const store = await openSqliteStore({ file: join(folder, "registry.db"), log: silentLog });
    const lead = await takeLead(store, 1);
    await store.write((db) => ensureDefaultProfile(db, lead, { now: 1 }));
    return new Harness(folder, store, lead);
  }

  readonly clock = { now: () => this.now ?? systemClock.now(), monotonic: () => this.monotonic ?? systemClock.monotonic() };

  /** @param authorities none unless given: then nothing is signed and the first revision is the first registration's */
  process(allowNetworks: readonly string[] = [], authorities: Authorities = NO_AUTHORITIES, log: Log = silentLog): Promise<RunningProcess> {
    const config = { name: REGISTRY, allowNetworks: [...allowNetworks], limits: { devicesPerAddress: this.devicesPerAddress } };
    const { store, lead, clock, proofs } = this;
    return startProcess({
      store,
      lead,
      config,
      authorities,
      anchored: () => true,
      sealing: SEALING.privateKey,
      proofs,
      onConcluded: () => {},
      clock,
      log,
    });
  }

  /** A code of the profile "test", which any address may use unless settings say otherwise. */
  async code(
    settings: Partial<ProfileSettings> = {},
    code: { uses?: number; expiresAt?: number; profile?: string } = {},
  ): Promise<TestCode> {
    const made = generateCode();
    const { uses = 1, expiresAt = this.clock.now() + HOUR_MS, profile = "test" } = code;
    const { selector, publicKey } = made;
    const now = Math.min(this.clock.now(), expiresAt - 1);
    await this.store.write((db) =>
      setProfile(db, this.lead, { name: profile, settings: { addresses: "any", ...settings }, now: 1, actor: "test" }),
    );
    await this.store.write((db) =>
      createCode(db, this.lead, { selector, publicKey, subject: "somebody", profile, uses, expiresAt, now, actor: "test" }),
    );
    return made;
  }

  /** Stores a submission as register would. */
  async submit(code: Signer, change: Partial<Submission> = {}, row: StoredRow = {}): Promise<string> {
    const csr = row.csr ?? null;
    const submission = unsigned(code, this.clock.now(), { csrDigest: csr === null ? null : csrDigest(csr), ...change });
    const { action, signer, addresses, deviceKey, nonce, time } = submission;
    const input = {
      id: newId(this.clock.now()),
      receivedAt: this.clock.now(),
      action: action === "status" ? ("register" as const) : action,
      signer,
      submission: { addresses: [...addresses], deviceKey, nonce, time },
      signature: row.signature ?? signSubmission(submission, code.privateKey),
      csr,
      observed: [row.observed ?? "8.8.4.4"].flat(),
      digest: submissionDigest(submission),
      sealed: row.sealed ?? null,
      shown: row.shown ?? null,
      idempotencyKey: null,
    };
    return (await this.store.writeTogether(ACCEPT, input, wakesOf(input))).id;
  }

  /** Waits for what became of a submission. */
  async outcome(id: string): Promise<{ status: number; body: Record<string, unknown>; revision: number }> {
    const look = () =>
      this.rows((db) => all(db.selectFrom("outcomes").select(["status", "body", "revision"]).where("submission", "=", id)));
    return new Promise((resolve, reject) => {
      const check = () => {
        look().then(([row]) => {
          if (row === undefined) return;
          watch[Symbol.dispose]();
          resolve({ ...row, body: JSON.parse(row.body) });
        }, reject);
      };
      const watch = this.store.watch("outcome", check);
      check();
    });
  }

  async register(code: Signer, change: Partial<Submission> = {}, row: StoredRow = {}) {
    return this.outcome(await this.submit(code, change, row));
  }

  /** A device with a key of its own, enrolled while Process runs. */
  async device(code: TestCode, change: Partial<Submission> = {}, row: StoredRow = {}): Promise<TestDevice> {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const { status, body } = await this.register(code, { deviceKey: rawPublicKey(publicKey), ...change }, row);
    if (status !== 201) throw new Error(`not enrolled: ${String(body.code)}`);
    return { id: String(body.device), registration: String(body.id), signer: `device:${String(body.device)}`, selector: "", privateKey };
  }

  /** What became of a device's own submission. */
  async own(device: TestDevice, action: "renew" | "leave", change: Partial<Submission> = {}, row: StoredRow = {}) {
    const addresses = action === "leave" ? [] : ["observed"];
    return this.outcome(await this.submit(device, { action, signer: device.signer, addresses, ...change }, row));
  }

  /** Waits until something is true of what is committed: looked at after each revision. */
  until(isTrue: () => Promise<boolean>): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        isTrue().then((yes) => {
          if (!yes) return;
          watch[Symbol.dispose]();
          resolve();
        }, reject);
      };
      const watch = this.store.watch("head", check);
      check();
    });
  }

  rows<T>(command: (db: Builder) => Command<T>): Promise<T> {
    return this.store.read(command);
  }

  /** Effective rules as "lane prefix expiry". */
  async rules(): Promise<string[]> {
    const rows = await this.rows((db) => all(db.selectFrom("rules").selectAll().orderBy("prefix")));
    return rows.map((rule) => `${rule.lane} ${rule.prefix} ${rule.expires_at}`);
  }

  async used(code: TestCode): Promise<number | undefined> {
    const rows = await this.rows((db) => all(db.selectFrom("codes").select("used").where("selector", "=", code.selector)));
    return rows[0]?.used;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const nonce = (): string => randomBytes(16).toString("base64url");

export const unsigned = (code: { selector: string }, time: number, change: Partial<Submission> = {}): Submission => ({
  action: "register",
  registry: REGISTRY,
  signer: `code:${code.selector}`,
  addresses: ["observed"],
  csrDigest: null,
  deviceKey: null,
  nonce: nonce(),
  time,
  ...change,
});
