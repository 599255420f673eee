import type { Prefix } from "../../lib/ip.ts";
import type { Submission } from "../../lib/registration/submission.ts";
import type { Builder, Command, Lead } from "../store/store.ts";

/** A submission whose proof is right, with what Process adds to it. */
export interface Work {
  readonly id: string;
  readonly submission: Submission;
  /** Canonical addresses that the client was observed at, the peer's first. */
  readonly observed: readonly string[];
  readonly allowed: readonly Prefix[];
  readonly now: number;
}

/** What a permitted submission came to. */
export interface Done {
  /** HTTP status that the outcome means. */
  readonly status: 200 | 201;
  /** One word for the log. */
  readonly outcome: "registered" | "renewed" | "left";
  readonly device: string;
  /** Revision after which it is in force. */
  readonly revision: number;
  /** Members of the answer beside its id. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a permitted submission does; nothing of it may refuse, because a part might stand already. */
export type Act = () => Command<Done>;

/** Looks for everything that can refuse a right proof, before anything is spent or changed. @throws Problem */
export type Permit = (db: Builder, lead: Lead, work: Work) => Command<Act>;
