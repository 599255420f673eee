import { hash } from "node:crypto";

/** What the driver knows of one security code, from answers alone. */
export interface KnownCode {
  readonly text: string;
  readonly selector: string;
  readonly profile: string;
  readonly uses: number;
  /** Devices that it was answered to have enrolled. */
  enrolled: number;
  /** An answer said that it was used up, or withdrawn. */
  toldSpent: boolean;
  /** When its withdrawal was answered; null while it was not. */
  withdrawnAt: number | null;
  /** It was asked to be made, or to be withdrawn, and no answer came yet. */
  unsure: boolean;
}

export interface KnownGrant {
  readonly lane: string;
  readonly prefix: string;
  readonly expiresAt: number;
}

export interface KnownDevice {
  readonly id: string;
  /** The registration that made it. */
  readonly registration: string;
  /** Its own key, PKCS #8 PEM. */
  readonly key: string;
  grants: readonly KnownGrant[];
  ended: boolean;
  /** Something was asked of it and no answer came yet. */
  unsure: boolean;
}

/** What must be in force, as it follows from answers: kept by the driver, with nothing of the registry's own reckoning. */
export class Model {
  readonly codes = new Map<string, KnownCode>();
  readonly devices = new Map<string, KnownDevice>();
  /** Digest of a registry that nobody registered at: of its trust alone, which nothing here changes. */
  trust = "0";

  /** By "lane prefix", until when it must stand: the latest of the live grants. */
  rules(now: number): ReadonlyMap<string, number> {
    const rules = new Map<string, number>();
    for (const device of this.devices.values()) {
      if (device.ended) continue;
      for (const { lane, prefix, expiresAt } of device.grants) {
        const key = `${lane} ${prefix}`;
        if (expiresAt > now) rules.set(key, Math.max(expiresAt, rules.get(key) ?? 0));
      }
    }
    return rules;
  }

  /** Digest of those rules and of the registry's trust, reckoned from docs/protocol.md. */
  digest(now: number): string {
    let sum = BigInt(`0x${this.trust}`);
    for (const [key, expiresAt] of this.rules(now)) sum += BigInt(`0x${hash("sha256", `rule ${key} ${expiresAt}`).slice(0, 32)}`);
    return (sum % 2n ** 128n).toString(16).padStart(32, "0");
  }
}
