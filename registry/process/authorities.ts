import type { Change } from "../../lib/feed/messages.ts";
import type { Authority } from "../ca/authorities.ts";
import { assertLead, commitChanges, trustBody } from "../store/queries.ts";
import type { Builder, Command, Lead } from "../store/store.ts";

/** CAs whose certificates devices show at a gate: agents are told of these. */
export const isOfDevices = ({ role }: Pick<Authority, "role">): boolean => role !== "infrastructure CA";

/** Tells the agents of the root. What they know already is no revision. @throws Problem not_leading */
export function* publishRoot(
  db: Builder,
  lead: Lead,
  { authorities, now }: { readonly authorities: readonly Authority[]; readonly now: number },
): Command<void> {
  yield* assertLead(db, lead);
  const changes: Change[] = [];
  for (const { id, certificate } of authorities.filter(({ role }) => role === "root")) {
    if ((yield* trustBody(db, "ca", id)) !== certificate) changes.push({ kind: "trust.set", target: "ca", id, body: certificate });
  }
  yield* commitChanges(db, lead, { changes, now });
}
