import type { Log } from "../lib/log.ts";

/** What an operator is to know, in one sentence each. The names are stable: monitoring relies on them. */
export const ALARM = {
  clock_skew: "This host's clock differs from the registry's",
  certificate_expiring: "The agent's own certificate runs out within a day",
  crl_expired: "A list of revoked certificates ran out",
  crl_old: "A list of revoked certificates was not renewed at half of its life",
  elements_tampered: "Somebody else changed the gate's elements; they were set back",
  feed_stale: "The feed is silent for longer than is configured",
  floor_lost: "The floor is gone with its holder; it is being made again",
  ground_not_told: "entityos-floor.service does not take this configuration's floor; it holds the one before",
  not_answering: "A part that the gate hangs on does not answer",
  apply_slow: "A change takes seconds to reach the kernel: it is waited for",
  reload_refused: "The configuration that was to be loaded is not in force",
  not_saved: "The disk takes nothing: the kernel follows, and nothing is acknowledged",
  service_certificate_expiring: "The certificate that the service shows was not renewed: it ends soon, or has ended",
  structure_tampered: "Somebody else changed the gate's structure; it was set back",
  registry_behind: "The registry's time is before one that it told earlier: its clock was ahead, and lives end here too soon",
  rules_held_back: "The registry names rules over this host's ceiling; they are held back",
  trust_held_back: "The registry names trust that this host does not believe; it is held back",
} as const;
export type AlarmName = keyof typeof ALARM;

export interface RaisedAlarm {
  readonly name: AlarmName;
  readonly message: string;
}

/** Alarms that are on: each is logged once when it begins and once when it is over. */
export class Alarms {
  readonly #log: Log;
  readonly #on = new Set<AlarmName>();

  constructor(log: Log) {
    this.#log = log;
  }

  get raised(): readonly RaisedAlarm[] {
    return [...this.#on].map((name) => ({ name, message: ALARM[name] }));
  }

  /** @param fields what to log with it while it is on; null when it is not */
  set(name: AlarmName, fields: object | null): void {
    if (fields === null) {
      if (this.#on.delete(name)) this.#log.info({ over: name }, "An alarm is over");
    } else if (!this.#on.has(name)) {
      this.#on.add(name);
      this.#log.error({ ...fields, alarm: name }, ALARM[name]);
    }
  }
}

/** Runs work on the disk, and tells by the alarm `not_saved` whether it succeeded. @throws what it throws */
export function toldDisk(alarms: Alarms, work: () => void): void {
  try {
    work();
    alarms.set("not_saved", null);
  } catch (error) {
    alarms.set("not_saved", { err: error });
    throw error;
  }
}

/**
 * As {@link toldDisk}, for work that must not end who needs it.
 */
export function tolerateDisk(alarms: Alarms, work: () => void): void {
  try {
    toldDisk(alarms, work);
  } catch {
    // Told.
  }
}
