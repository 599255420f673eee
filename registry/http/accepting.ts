import { proofTimeProblem } from "../../lib/registration/submission.ts";
import { type Accepted, acceptSubmissions, MAX_INBOX, type NewSubmission } from "../store/accept.ts";
import type { Together } from "../store/store.ts";
import type { Attempts } from "./attempts.ts";
import { type Observation, observationProblem } from "./observation.ts";

/** A proven submission, and where it came from. */
export interface Accepting extends NewSubmission {
  /** Canonical text of what limits count as one source. */
  readonly source: string;
  /** What it was observed at before. */
  readonly tickets: readonly Observation[];
}

/** Stores proven submissions that come together, and counts those that do not only give access up. */
export const accepting =
  (attempts: Attempts): Together<Accepting, Accepted> =>
  (db, inputs) =>
    acceptSubmissions(db, inputs, {
      // A repeat gets the first outcome, however old what it carries has become.
      untimely: ({ submission, receivedAt, tickets }) =>
        [proofTimeProblem(submission.time, receivedAt), ...tickets.map((ticket) => observationProblem(ticket, receivedAt))].find(
          (problem) => problem !== null,
        ) ?? null,
      *count(db, submissions) {
        const counted = submissions.filter(({ action }) => action !== "leave");
        const attempted = counted.map(({ source, signer, receivedAt }) => ({ source, signer, now: receivedAt }));
        const refusals = (yield* attempts.countRight(db, attempted)).values();
        return submissions.map(({ action }) => (action === "leave" ? null : (refusals.next().value ?? null)));
      },
      most: MAX_INBOX,
    });
