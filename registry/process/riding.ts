import { type InboxItem, readNewest } from "../store/intake.ts";
import type { Builder, Command, Rider } from "../store/store.ts";
import { NO_CERTIFICATE } from "./certificates.ts";
import { type Conclusion, concludeSubmission } from "./conclude.ts";
import { type IntakeParts, tellConclusion } from "./intake.ts";
import { knownSubmission } from "./proof.ts";

/** Most submissions concluded in the transaction that stores them; the others follow in one of their own. */
const RIDING = 128;

type Parts = Omit<IntakeParts, "certified">;

interface Concluded {
  readonly item: InboxItem;
  readonly conclusion: NonNullable<Conclusion>;
}

/**
 * Concludes in the transaction that stores them the registrations that were proven in this process already and wait for no signature.
 * Whatever else waits is left to {@link Intake}.
 */
export function ridingIntake(parts: Parts): Rider<readonly Concluded[]> {
  return {
    command: (db) => concludeKnown(db, parts, parts.clock.now()),
    wakes: ["outcome", "head"],
    done(concluded) {
      for (const { item, conclusion } of concluded) tellConclusion(parts, item, conclusion);
    },
    failed: (error) => parts.log.warn({ err: error }, "Cannot conclude submissions as they are stored; each is tried by itself"),
  };
}

function* concludeKnown(db: Builder, parts: Parts, now: number): Command<readonly Concluded[]> {
  const { lead, allowed } = parts;
  const concluded: Concluded[] = [];
  for (const item of yield* readNewest(db, { limit: RIDING })) {
    // What takes access away wakes others too.
    const verified = item.action === "register" ? knownSubmission(item, parts, now) : null;
    if (verified === null) continue;
    const work = { id: item.id, ...verified, observed: item.observed.split(","), allowed, now };
    const conclusion = yield* concludeSubmission(db, lead, work, NO_CERTIFICATE);
    if (conclusion !== null) concluded.push({ item, conclusion });
  }
  return concluded;
}
