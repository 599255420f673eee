import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { looksLikeCode } from "../../lib/registration/code.ts";
import type { Io } from "./io.ts";

/** One command: its file is loaded only when it is asked for. */
export interface Command {
  /** Usage, options, examples: what `--help` prints. */
  readonly help: string;
  /** @throws UsageError | Problem | ConnectionError, which become the exit code */
  run(args: readonly string[], io: Io): Promise<void>;
}

/** The command line is wrong: exit code 64. */
export class UsageError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "UsageError";
  }
}

/** What was asked for did not come true although every question was answered: exit code 1. The answer is already printed. */
export class NotTrueError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NotTrueError";
  }
}

/** Instead of words that would show it once more. */
const CODE_SHOWN = "A security code is no argument: others can read command lines. It is asked for, or read by --code-file.";

/**
 * Options and positional words of a command.
 * @param words how many positional words there must be, by what they are: ["NAME"]
 * @throws UsageError
 */
export function parseCommandLine<const O extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: O,
  words: readonly string[] = [],
) {
  const parsed = (() => {
    try {
      return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
    } catch (cause) {
      throw new UsageError(cause instanceof Error ? cause.message.replace(/\. To specify a positional argument.*/s, ".") : String(cause), {
        cause,
      });
    }
  })();
  const missing = words[parsed.positionals.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing.`);
  const extra = parsed.positionals[words.length];
  if (extra !== undefined) throw new UsageError(looksLikeCode(extra) ? CODE_SHOWN : `Unexpected argument '${extra}'.`);
  return { values: parsed.values, words: parsed.positionals };
}

/** @throws UsageError when the option was not given */
export function required(value: string | undefined, option: string): string {
  if (value === undefined || value === "") throw new UsageError(`--${option} is missing.`);
  return value;
}

/** @throws UsageError unless it is a whole number from `min` to `max` */
export function wholeNumber(text: string, option: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d{1,15}$/.test(text) || value < min || value > max) {
    throw new UsageError(`--${option} is a whole number from ${min} to ${max}: '${text}' is not.`);
  }
  return value;
}

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** "90s", "30m", "24h", "7d" in milliseconds. @throws UsageError when it is none, or not within the bounds */
export function duration(text: string, option: string, bounds?: { readonly minMs: number; readonly maxMs: number }): number {
  const match = /^([1-9]\d{0,6})([smhd])$/.exec(text);
  const unit = match?.[2] as keyof typeof UNIT_MS | undefined;
  if (match === null || unit === undefined)
    throw new UsageError(`--${option} is a number with a unit such as 90s, 30m, 24h or 7d: '${text}' is not.`);
  const ms = Number(match[1]) * UNIT_MS[unit];
  if (bounds !== undefined && (ms < bounds.minMs || ms > bounds.maxMs))
    throw new UsageError(`--${option} is from ${durationText(bounds.minMs)} to ${durationText(bounds.maxMs)}: '${text}' is not.`);
  return ms;
}

/** The reverse, in the largest unit that fits. */
export function durationText(ms: number): string {
  for (const [unit, unitMs] of [
    ["d", UNIT_MS.d],
    ["h", UNIT_MS.h],
    ["m", UNIT_MS.m],
    ["s", UNIT_MS.s],
  ] as const) {
    if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
}
