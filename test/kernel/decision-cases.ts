import { type Cell, expected, nameOf, type Verdict } from "./decision.ts";
import type { Heard } from "./decision-actor.ts";

/** How long nothing is listened to; and how long what must come may take, on however busy a machine. */
const SILENCE_MS = 1_000;
export const PATIENCE_MS = 30_000;
export const FAMILIES = [4, 6] as const;
export type Family = (typeof FAMILIES)[number];
export type Pattern = Cell["pattern"];

export const DEVICES: Readonly<Record<Pattern | "other", string>> = {
  ip: "0198f2c1-7d1e-7000-8000-000000000001",
  cert: "0198f2c1-7d1e-7000-8000-000000000002",
  either: "0198f2c1-7d1e-7000-8000-000000000003",
  both: "0198f2c1-7d1e-7000-8000-000000000004",
  other: "0198f2c1-7d1e-7000-8000-000000000005",
};
export const SOURCES = ["ip", "either", "both", "another's (lane ip)", "another's (lane ipcert)", "none"] as const;
export const sourceOf = (which: (typeof SOURCES)[number], family: Family): string => {
  const number = 100 + SOURCES.indexOf(which);
  return family === 4 ? `203.0.113.${number}` : `2001:db8:0:${number}::1`;
};
export const prefixOf = (which: (typeof SOURCES)[number], family: Family) => `${sourceOf(which, family)}/${family === 4 ? 32 : 128}`;

export function addressOf({ address, pattern }: Cell, family: Family): string {
  if (address !== "own") return sourceOf(address, family);
  if (pattern === "cert") throw new Error("the pattern cert has no address");
  return sourceOf(pattern, family);
}

/** A cell that is asked for over one family. */
export interface Case {
  readonly cell: Cell;
  readonly family: Family;
}

/** A connection that was open before, or whose session is offered again. */
export interface Kept extends Case {
  readonly first: Heard;
}

/** What was heard of a case; `kept` and the moment of the change, ms since 1970, where there was a connection before. */
export interface Answered extends Case {
  readonly heard: Heard;
  readonly kept: Kept | null;
  readonly changedAt: number;
}

export const caseName = ({ cell, family }: Case): string => `${nameOf(cell)}, IPv${family}`;

/** What was heard, in the table's words. */
export function verdictOf({ pattern }: Cell, { outcome, headers }: Heard): string {
  if (outcome === "nothing") return "no packet";
  if (outcome === "tls") return "first flight";
  if (outcome === "ended") return "ended";
  const device = headers["x-entityos-device"];
  if (device === undefined) return "in";
  return device === DEVICES[pattern] && headers["x-entityos-pattern"] === pattern ? "in, known" : `in, as ${device}`;
}

export const waitsOf = ({ cell }: Case): { readonly connectMs: number; readonly answerMs: number } => {
  const verdict = expected(cell) as Verdict;
  return {
    connectMs: verdict === "no packet" ? SILENCE_MS : PATIENCE_MS,
    answerMs: verdict === "in" || verdict === "in, known" ? PATIENCE_MS : SILENCE_MS,
  };
};
