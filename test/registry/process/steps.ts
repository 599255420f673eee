import fc from "fast-check";
import { NO_CERTIFICATE } from "../../../registry/process/certificates.ts";
import { concludeSubmission } from "../../../registry/process/conclude.ts";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { expireGrants } from "../../../registry/process/expiry.ts";
import { setProfile } from "../../../registry/process/profiles.ts";
import { all } from "../../../registry/store/store.ts";
import type { Harness, TestCode } from "./harness.ts";
import { nonce, REGISTRY } from "./harness.ts";

/** Whatever can happen to what devices hold, in any order. Times are whole seconds in milliseconds. */
export type Step =
  | { readonly do: "register"; readonly prefixes: readonly string[] }
  | { readonly do: "renew"; readonly device: number; readonly prefixes: readonly string[] }
  | { readonly do: "leave" | "revoke"; readonly device: number }
  | { readonly do: "profile"; readonly pattern: "ip" | "both"; readonly lifeMs: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "expire" };

export const START = 1_800_000_000_000;
const SECOND_MS = 1_000;
const PREFIXES = ["8.8.8.8/32", "9.9.9.0/24", "2606:4700::/64", "2606:4700::1/128"];

const prefixes = fc.subarray(PREFIXES, { minLength: 1 });
const device = fc.nat(5);
export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("register" as const), prefixes }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("renew" as const), device, prefixes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("leave" as const, "revoke" as const), device }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("profile" as const),
      pattern: fc.constantFrom("ip" as const, "both" as const),
      lifeMs: fc.integer({ min: 1, max: 20 }).map((s) => s * SECOND_MS),
    }),
  },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 12 }).map((s) => ({ do: "wait" as const, ms: s * SECOND_MS })) },
  { weight: 2, arbitrary: fc.constant({ do: "expire" as const }) },
);

interface Held {
  readonly lane: "ip" | "ipcert";
  readonly prefix: string;
  readonly expiresAt: number;
}

/** The simplest thing that could be right: for each device the list of what it holds, looked through whole. */
export class Model {
  now = START;
  pattern: "ip" | "both" = "ip";
  lifeMs = 10 * SECOND_MS;
  readonly devices: { ended: boolean; held: Held[] }[] = [];

  take(one: Step): void {
    switch (one.do) {
      case "wait":
        this.now += one.ms;
        return;
      case "profile":
        this.pattern = one.pattern;
        this.lifeMs = one.lifeMs;
        return;
      case "expire":
        return;
      case "register":
        // Without a request to sign, a profile that asks for a certificate enrols nobody.
        if (this.pattern === "ip") this.devices.push({ ended: false, held: this.#granted(one.prefixes) });
        return;
      default: {
        const device = this.devices[one.device % this.devices.length];
        if (device === undefined || device.ended) return;
        device.held = one.do === "renew" ? this.#granted(one.prefixes) : [];
        device.ended = one.do !== "renew";
      }
    }
  }

  /** "lane prefix latest-expiry" of what somebody holds, sorted. */
  rules(): string[] {
    const rules = new Map<string, number>();
    for (const { lane, prefix, expiresAt } of this.devices.flatMap(({ held }) => held)) {
      const key = `${lane} ${prefix}`;
      if (expiresAt > this.now) rules.set(key, Math.max(rules.get(key) ?? 0, expiresAt));
    }
    return [...rules].map(([key, expiresAt]) => `${key} ${expiresAt}`).sort();
  }

  #granted(prefixes: readonly string[]): Held[] {
    const lane = this.pattern === "ip" ? "ip" : "ipcert";
    return prefixes.map((prefix) => ({ lane, prefix, expiresAt: this.now + this.lifeMs }));
  }
}

/** The same steps through Process, as its intake takes them once proofs are checked. */
export class Registry {
  readonly #harness: Harness;
  readonly #code: TestCode;
  readonly #ids: string[] = [];

  private constructor(harness: Harness, code: TestCode) {
    this.#harness = harness;
    this.#code = code;
  }

  /** Storage as new, with one code. */
  static async start(harness: Harness): Promise<Registry> {
    harness.now = START;
    await harness.store.write(function* (db) {
      for (const table of [
        "inbox",
        "outcomes",
        "submissions",
        "nonces",
        "grants",
        "rules",
        "trust",
        "changes",
        "devices",
        "codes",
      ] as const)
        yield* all(db.deleteFrom(table));
      yield* all(db.updateTable("head").set({ revision: 0, rules: 0, digest: "0".repeat(32) }));
    });
    const settings = { pattern: "ip", addressLifetimeMs: 10 * SECOND_MS, widest4: 24 } as const;
    return new Registry(harness, await harness.code(settings, { uses: 1_000, expiresAt: START * 2 }));
  }

  async take(one: Step, now: number): Promise<void> {
    const { store, lead } = this.#harness;
    this.#harness.now = now;
    switch (one.do) {
      case "wait":
        return;
      case "expire":
        await store.write((db) => expireGrants(db, lead, { now }));
        return;
      case "profile": {
        const settings = { addresses: "any", pattern: one.pattern, addressLifetimeMs: one.lifeMs, widest4: 24 } as const;
        await store.write((db) => setProfile(db, lead, { name: "test", settings, now, actor: "test" }));
        return;
      }
      case "register": {
        const device = await this.#conclude("register", `code:${this.#code.selector}`, one.prefixes);
        if (device !== null) this.#ids.push(device);
        return;
      }
      default: {
        const id = this.#ids[one.device % this.#ids.length];
        if (id === undefined) return;
        if (one.do === "revoke") await store.write((db) => revokeDevice(db, lead, { device: id, now, actor: "test" }));
        else await this.#conclude(one.do, `device:${id}`, one.do === "renew" ? one.prefixes : []);
      }
    }
  }

  async #conclude(action: "register" | "renew" | "leave", signer: string, addresses: readonly string[]): Promise<string | null> {
    const { store, lead, clock } = this.#harness;
    const now = clock.now();
    const fields = { action, signer, addresses, deviceKey: null, csrDigest: null, nonce: nonce(), time: now };
    const id = await this.#harness.submit(this.#code, fields);
    const work = { id, submission: { ...fields, registry: REGISTRY }, observed: ["8.8.4.4"], allowed: [], plain: false, shown: null, now };
    return (await store.write((db) => concludeSubmission(db, lead, { work, certificate: NO_CERTIFICATE })))?.device ?? null;
  }
}
