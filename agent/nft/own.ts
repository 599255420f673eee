import { randomBytes } from "node:crypto";
import { TABLE } from "../../lib/service.ts";

/** This process's word in the rules that it changes, so that its own changes are told from others' in any pid namespace. */
const WORD = randomBytes(8).toString("hex");
const CHAIN = "own";

/**
 * Puts a transaction that changes rules between two rules that bear this process's word. The kernel reports a transaction's changes
 * in order and never mixes two, so what a monitor hears between them is ours.
 */
export function asOwn(commands: readonly string[]): string[] {
  const say = (edge: "begin" | "end") => [
    `add table inet ${TABLE}`,
    `add chain inet ${TABLE} ${CHAIN}`,
    `add rule inet ${TABLE} ${CHAIN} continue comment "${edge} ${WORD}"`,
  ];
  return [...say("begin"), `flush chain inet ${TABLE} ${CHAIN}`, ...commands, ...say("end")];
}

/** Chains of ours beside the rendered ones. */
export const OWN_CHAIN = CHAIN;

/** Tells a monitor's events about our table's rules that are ours from those that are not. */
export class OwnChanges {
  #within = false;

  /** Takes one event in, in order; true when somebody else changed a rule of our table. */
  isForeign(event: RuleEvent): boolean {
    if (event.table !== TABLE) return false;
    if (event.verb === "add" && event.chain === CHAIN && event.comment === `begin ${WORD}`) {
      this.#within = true;
      return false;
    }
    if (event.verb === "add" && event.chain === CHAIN && event.comment === `end ${WORD}`) {
      this.#within = false;
      return false;
    }
    return !this.#within;
  }

  /** Events may have been missed: what comes next counts as foreign until it is known to be ours. */
  reset(): void {
    this.#within = false;
  }
}

export interface RuleEvent {
  readonly verb: "add" | "delete";
  readonly table: string;
  readonly chain: string;
  readonly comment: string | null;
}

/**
 * Reads one line of `nft -j monitor rules`; null for anything else. Only lines of our table are parsed.
 */
export function readRuleEvent(line: string): RuleEvent | null {
  if (!line.includes(`"table": "${TABLE}"`)) return null;
  let event: Partial<Record<string, { rule?: { family?: string; table?: string; chain?: string; comment?: string } }>>;
  try {
    event = JSON.parse(line);
  } catch {
    return null;
  }
  const verb = event.delete === undefined ? "add" : "delete";
  const rule = (event.delete ?? event.add ?? event.insert ?? event.replace)?.rule;
  if (rule?.family !== "inet" || rule.table === undefined || rule.chain === undefined) return null;
  return { verb, table: rule.table, chain: rule.chain, comment: rule.comment ?? null };
}
