import type { Prefix } from "../../lib/ip.ts";
import type { Submission } from "../../lib/registration/submission.ts";
import type { Builder, Command, Lead } from "../store/store.ts";
import type { Signed, Wanted } from "./certificates.ts";

/** A submission whose proof is right, with what Process adds to it. */
export interface Work {
  readonly id: string;
  readonly submission: Submission;
  /** Canonical addresses that the client was observed at, the peer's first. */
  readonly observed: readonly string[];
  readonly allowed: readonly Prefix[];
  readonly now: number;
  /** The client sent the code itself, instead of a proof. */
  readonly plain: boolean;
  /** SHA-256, lower-case hex, of the client certificate that register saw, instead of a proof, or of the one whose key signed; else null. */
  readonly shown: string | null;
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

/** What a permitted submission does. */
export interface Act {
  /** The certificate that goes with it; null when it goes with none. */
  readonly wants: Wanted | null;
  /**
   * Nothing of it may refuse, because a part might stand already.
   * @param signed what was wanted, null when that was nothing
   */
  run(signed: Signed | null): Command<Done>;
}

/** Looks for everything that can refuse a right proof, before anything is spent or changed. @throws Problem */
export type Permit = (db: Builder, lead: Lead, work: Work) => Command<Act>;
