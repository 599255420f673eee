import { randomBytes } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import type { Control } from "../../registry/cli/control.ts";
import { ConnectionError } from "../../registry/cli/http.ts";
import type { HandsAnswers, HandsAsks } from "./hands.ts";

/** Something asked of the registry that may be asked again, until an answer says what became of it. */
export interface Deed {
  readonly what: string;
  /** True once it was answered. @throws Violation when the answer cannot be */
  ask(): Promise<boolean>;
}

/** The system did what it must never do. */
export class Violation extends Error {}

/** How requests reach the register role: from a device, by its hands. */
export type Send = (ask: Pick<HandsAsks["send"], "method" | "path" | "headers" | "body">) => Promise<HandsAnswers["send"]>;

export const newIdempotencyKey = (): string => randomBytes(16).toString("base64url");

/** The answer as it stands for good; null when there was none, or none that settles: 202, 408, 429 and 5xx ask for a repetition. */
export function settledAnswer(
  answer: HandsAnswers["send"],
): { readonly status: number; readonly body: Readonly<Record<string, unknown>> } | null {
  if ("nothing" in answer) return null;
  const { status } = answer;
  if (status === 202 || status === 408 || status === 429 || status >= 500) return null;
  return { status, body: JSON.parse(answer.body === "" ? "{}" : answer.body) };
}

/** What control answers, a problem included; null when no answer came or it failed. */
export async function askControl<T>(control: Control, method: "POST" | "DELETE", path: string, body?: object): Promise<T | Problem | null> {
  try {
    return await control.send<T>(method, path, body);
  } catch (error) {
    if (error instanceof ConnectionError) return null;
    if (error instanceof Problem) return error.status >= 500 || error.code === "http_error" ? null : error;
    throw error;
  }
}
