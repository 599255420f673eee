import { type InboxItem, readNewest } from "../store/intake.ts";
import type { Builder, Command, Rider } from "../store/store.ts";
import { NO_CERTIFICATE } from "./certificates.ts";
import { type Conclusion, concludeRegistrations } from "./conclude.ts";
import { type IntakeParts, tellConclusion } from "./intake.ts";
import { knownSubmission } from "./proof.ts";
import type { Work } from "./work.ts";

/** Most submissions concluded in the transaction that stores them; the others follow in one of their own. */
const RIDING = 128;

type Parts = Omit<IntakeParts, "certified">;

interface Concluded {
  readonly item: InboxItem;
  readonly conclusion: NonNullable<Conclusion>;
}

interface Ridden {
  readonly concluded: readonly Concluded[];
  /** No other waits for Process, but those that carry certificate requests. */
  readonly nothingLeft: boolean;
}

/**
 * Concludes in the transaction that stores them the registrations that were proven in this process already and wait for no signature.
 * Whatever else waits is left to {@link Intake}.
 */
export function ridingIntake(parts: Parts): Rider<Ridden> {
  return {
    command: (db) => concludeKnown(db, parts, parts.clock.now()),
    wakes: ["outcome", "head"],
    quiets: ({ nothingLeft }) => (nothingLeft ? ["inbox"] : []),
    done({ concluded }) {
      for (const { item, conclusion } of concluded) tellConclusion(parts, item, conclusion);
    },
    failed: (error) => parts.log.warn({ err: error }, "Cannot conclude submissions as they are stored; each is tried by itself"),
  };
}

function* concludeKnown(db: Builder, parts: Parts, now: number): Command<Ridden> {
  const { lead, allowed } = parts;
  const known: { readonly item: InboxItem; readonly work: Work }[] = [];
  const items = yield* readNewest(db, { limit: RIDING });
  for (const item of items) {
    // What takes access away wakes others too.
    const verified = item.action === "register" && item.signer.startsWith("code:") ? knownSubmission(item, parts, now) : null;
    if (verified !== null) known.push({ item, work: { id: item.id, ...verified, observed: item.observed.split(","), allowed, now } });
  }
  const nothingLeft = items.length < RIDING && known.length === items.length;
  if (known.length === 0) return { concluded: [], nothingLeft };
  const registrations = known.map(({ work }) => ({ work, certificate: NO_CERTIFICATE }));
  const conclusions = yield* concludeRegistrations(db, lead, registrations);
  const concluded = known.flatMap(({ item }, index) => {
    const conclusion = conclusions[index] ?? null;
    return conclusion === null ? [] : [{ item, conclusion }];
  });
  return { concluded, nothingLeft };
}
