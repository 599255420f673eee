import type { KeyObject } from "node:crypto";
import { delay, Wakeup } from "../../lib/abort.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { parsePrefix } from "../../lib/ip.ts";
import type { Log } from "../../lib/log.ts";
import { Problem } from "../../lib/problem.ts";
import type { Proofs } from "../../lib/registration/proofs.ts";
import type { Authorities } from "../ca/authorities.ts";
import type { RegistryConfig } from "../config.ts";
import type { Lead, Store } from "../store/store.ts";
import { CrlMaker } from "./crl-maker.ts";
import { markTold, setCrowdThreshold, untoldCrowds } from "./crowds.ts";
import { expireCertificates, expireGrants, forgetNonces, nextExpiry } from "./expiry.ts";
import { Intake } from "./intake.ts";
import { ensureDefaultProfile } from "./profiles.ts";
import { forgetGrants, forgetRefused, TRIM_BATCH } from "./retention.ts";
import { ridingIntake } from "./riding.ts";
import { Rotation } from "./rotation.ts";

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 5_000;
/** What runs out is looked for no sooner after the last look: nothing is granted for less than ten times that. */
const EXPIRY_REST_MS = 100;
/** Reality is looked at this often, whoever woke whom or did not. */
const LOOK_ANYWAY_MS = 1_000;
const TRIM_EVERY_MS = 60_000;
/** What Storage lets go in time; each returns a full batch when more may wait. */
const TRIMS = [forgetNonces, forgetRefused, forgetGrants];

export interface ProcessParts {
  readonly store: Store;
  readonly lead: Lead;
  readonly config: Pick<RegistryConfig, "name" | "allowNetworks"> & {
    readonly limits: Pick<RegistryConfig["limits"], "devicesPerAddress">;
  };
  readonly authorities: Authorities;
  /** True once control's listener takes clients of that infrastructure CA. */
  readonly anchored: (ca: string) => boolean;
  /** Opens what register sealed. */
  readonly sealing: KeyObject;
  readonly proofs: Proofs;
  /** Told of each conclusion: its outcome, and milliseconds since it was stored. */
  readonly onConcluded: (outcome: string, waitedMs: number) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RunningProcess extends AsyncDisposable {
  /** Resolves when it was disposed of; rejects when it had to stop by itself: another replica leads. */
  readonly ended: Promise<void>;
}

/**
 * Process: takes submissions from the inbox, concludes each in one transaction, and ends grants and certificates when their time comes.
 * Resolves once the default profile is there, the agents are told which CAs count and what they revoked, and all loops run.
 */
export async function startProcess({
  store,
  lead,
  config,
  authorities,
  anchored,
  sealing,
  proofs,
  onConcluded,
  clock,
  log,
}: ProcessParts): Promise<RunningProcess> {
  const { name } = config;
  const allowed = config.allowNetworks.map((network) => parsePrefix(network));
  await store.write((db) => ensureDefaultProfile(db, lead, { now: clock.now() }));
  const crls = new CrlMaker({ store, lead, authorities: () => authorities.all, clock, log });
  // A list before its CA: no gate stands with a CA whose list is missing.
  await crls.begin(LOOK_ANYWAY_MS);
  const rotation = new Rotation({ store, lead, authorities, anchored, clock, log });
  while ((await rotation.turn(LOOK_ANYWAY_MS)) === 0);
  const { devicesPerAddress } = config.limits;
  await store.write((db) => setCrowdThreshold(db, lead, { devices: devicesPerAddress, now: clock.now() }));
  const abort = new AbortController();
  const deviceCa = () => authorities.device;
  const parts = { store, lead, registry: name, deviceCa, sealing, proofs, allowed, onConcluded, clock, log };
  const riding = store.ride("inbox", ridingIntake(parts));
  // Apart, so that a key service that is slow or away holds up nobody who needs no certificate.
  const inboxes = [false, true].map((certified) => {
    const intake = new Intake({ certified, ...parts });
    return loop(certified ? "requests" : "inbox", store, abort.signal, log, async () => ((await intake.take()) ? 0 : LOOK_ANYWAY_MS));
  });
  const lookForEnds = expiryTurn({ store, lead, clock, log }, devicesPerAddress);
  const expiry = loop("head", store, abort.signal, log, async () => {
    const waitMs = await lookForEnds();
    await delay(Math.min(waitMs, EXPIRY_REST_MS), abort.signal);
    return waitMs;
  });
  const lists = loop("revocation", store, abort.signal, log, () => crls.turn(LOOK_ANYWAY_MS));
  const generations = loop("progress", store, abort.signal, log, () => rotation.turn(LOOK_ANYWAY_MS));
  const loops = [...inboxes, expiry, lists, generations];
  const stopped = Promise.allSettled(loops);
  const ended = Promise.all(loops).then(() => {});
  ended.catch((error: unknown) => {
    log.error({ err: error }, "Process stopped");
    abort.abort(error);
  });
  return {
    ended,
    async [Symbol.asyncDispose]() {
      riding[Symbol.dispose]();
      abort.abort(new Error("process stops"));
      await stopped;
    },
  };
}

/**
 * Calls `turn` for ever: again when it asks to or when `topic` wakes it. What fails backs off and is tried again,
 * only a lost lead ends it.
 * @param turn returns the milliseconds to wait at most before the next
 */
async function loop(
  topic: "inbox" | "requests" | "head" | "revocation" | "progress",
  store: Store,
  signal: AbortSignal,
  log: Log,
  turn: () => Promise<number>,
): Promise<void> {
  const rung = new Wakeup();
  const backoff = new Backoff({ minMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
  using _watch = store.watch(topic, () => rung.ring());
  while (!signal.aborted) {
    const seen = rung.count;
    try {
      const waitMs = await turn();
      backoff.reset();
      if (waitMs > 0) await rung.after(seen, signal, waitMs);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.code === "not_leading") throw error;
      log.error({ topic, err: error }, "Process failed; trying again");
      await delay(backoff.next(), signal).catch(() => {});
    }
  }
}

type Timed = Pick<ProcessParts, "store" | "lead" | "clock" | "log">;

/** One look at what ran out, and at what the operator should hear. */
function expiryTurn({ store, lead, clock, log }: Timed, devicesPerAddress: number): () => Promise<number> {
  let trimmedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    const now = clock.now();
    const next = await store.read(nextExpiry);
    if (next.grant !== null && next.grant <= now) {
      const { ended, revision } = await store.write((db) => expireGrants(db, lead, { now }), ["head"]);
      log.info({ grants: ended, revision }, "Grants ran out");
      return 0;
    }
    if (next.certificate !== null && next.certificate <= now) {
      const { ended, revision } = await store.write((db) => expireCertificates(db, lead, { now }), ["head"]);
      log.info({ certificates: ended, revision }, "Certificates ended");
      return 0;
    }
    const crowds = await store.read(untoldCrowds);
    for (const crowd of crowds)
      log.warn({ alarm: "crowded_address", ...crowd, devicesPerAddress }, "Many devices are admitted from one address");
    if (crowds.length > 0) await store.write((db) => markTold(db, lead, crowds));
    if (Math.abs(now - trimmedAt) >= TRIM_EVERY_MS) {
      for (const trim of TRIMS) if ((await store.write((db) => trim(db, lead, { now }))) >= TRIM_BATCH) return 0;
      trimmedAt = now;
    }
    return Math.min(LOOK_ANYWAY_MS, (next.grant ?? Infinity) - now, (next.certificate ?? Infinity) - now);
  };
}
