import type { Change } from "../../lib/feed/messages.ts";
import { readCrlState, readLogged, writeCrl } from "../store/crls.ts";
import { assertLead, commitChanges, forgetChanges } from "../store/queries.ts";
import type { Database } from "../store/schema.ts";
import type { Builder, Command, Lead } from "../store/store.ts";

/** A list up to this many bytes travels on the feed; a longer one is fetched. */
export const MAX_TOLD_BYTES = 256 * 1024;
/** The change log keeps at most this many characters of one CA's lists: a list a second must not fill the disk. */
const MAX_LOGGED_LENGTH = 64 << 20;

type List = Omit<Database["crls"], "name" | "wanted" | "logged"> & { readonly der: Buffer };

/**
 * Puts a list in the place of the one before, and tells the gates in the same transaction.
 * @param input `told`: whether gates need it
 * @throws Problem not_leading | Error when its number is not above the one before
 */
export function* storeCrl(
  db: Builder,
  lead: Lead,
  { list, told, now }: { readonly list: List; readonly told: boolean; readonly now: number },
): Command<{ revision: number }> {
  yield* assertLead(db, lead);
  const { ca, number, der } = list;
  const before = yield* readCrlState(db, { ca });
  if (before === undefined || before.number >= number) throw new Error(`CRL ${number} of ${ca} is not newer than what stands`);
  const change: Change = { kind: "trust.set", target: "crl", id: ca, body: bodyOf(list) };
  const { revision } = yield* commitChanges(db, lead, { changes: told ? [change] : [], now });
  const logged = [...(yield* readLogged(db, { ca }))];
  if (told) logged.push([revision, change.body.length]);
  let length = logged.reduce((sum, [, each]) => sum + each, 0);
  for (let oldest = logged[0]; oldest !== undefined && length > MAX_LOGGED_LENGTH && logged.length > 1; oldest = logged[0]) {
    yield* forgetChanges(db, oldest[0]);
    length -= oldest[1];
    logged.shift();
  }
  yield* writeCrl(db, { ...list, der, logged: JSON.stringify(logged) });
  return { revision };
}

/** As the feed tells it. */
const bodyOf = ({ number, this_update, next_update, sha256, der }: List): string =>
  JSON.stringify({
    number,
    thisUpdate: this_update,
    nextUpdate: next_update,
    sha256,
    bytes: der.length,
    der: der.length > MAX_TOLD_BYTES ? null : der.toString("base64"),
  });
