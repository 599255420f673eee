import type { DesiredState } from "./desired.ts";
import { readCrl } from "./trust-bodies.ts";

/** A list is renewed at half of its life; one that is still the newest this much later was not. */
const GRACE_MS = 60 * 60_000;

interface Life {
  readonly body: string;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

/** CAs' ids by how their lists stand. */
export interface Aged {
  /** Not renewed when it was time. */
  readonly old: readonly string[];
  readonly expired: readonly string[];
}

/** How old the lists of revoked certificates are that this host holds. A list is read once. */
export class CrlAges {
  #lives = new Map<string, Life>();

  /** @param now registry time */
  look(desired: Pick<DesiredState, "lists">, now: number): Aged {
    const lives = new Map<string, Life>();
    for (const { id, body } of desired.lists()) {
      const known = this.#lives.get(id);
      lives.set(id, known?.body === body ? known : { body, ...readCrl(body) });
    }
    this.#lives = lives;
    const those = (is: (life: Life) => boolean) => [...lives].filter(([, life]) => is(life)).map(([id]) => id);
    const isExpired = ({ nextUpdate }: Life) => now >= nextUpdate;
    return {
      expired: those(isExpired),
      old: those((life) => !isExpired(life) && now >= (life.thisUpdate + life.nextUpdate) / 2 + GRACE_MS),
    };
  }
}
