import type { z } from "zod";

const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a group of settings",
  record: "a group of settings",
  array: "a list",
};

const UNITS: Readonly<Record<string, string>> = { string: "characters", array: "entries", set: "entries" };

/**
 * What does not fit a schema, in plain words: given to `safeParse` as its `error`. Words that the schema itself has come first.
 * Quotes names of keys and never a value, which may be a secret in the wrong place.
 * @returns undefined where the library's own words are as good
 */
export const plainWords: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "is missing";
      if (typeof issue.input === "number" && issue.expected === "number") return "must be a finite number";
      return `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case "unrecognized_keys":
      return `unknown key ${issue.keys.map((key) => `"${key}"`).join(", ")}`;
    case "invalid_value":
      return `must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
    case "invalid_union":
      // Kinds of one thing, told apart by a key; other unions have words of their own.
      return "options" in issue && Array.isArray(issue.options) ? `must be one of ${issue.options.map(String).join(", ")}` : undefined;
    case "too_small":
      if (issue.minimum === 1 && issue.origin === "string") return "must not be empty";
      return `must ${measure(issue.origin)} at least ${bound(issue.minimum, issue.origin)}`;
    case "too_big":
      return `must ${measure(issue.origin)} at most ${bound(issue.maximum, issue.origin)}`;
    default:
      return undefined;
  }
};

const measure = (origin: string): string => (origin in UNITS ? "have" : "be");

function bound(value: number | bigint, origin: string): string {
  const unit = UNITS[origin];
  if (unit === undefined) return String(value);
  return `${value} ${Number(value) === 1 ? unit.replace(/ies$/, "y").replace(/s$/, "") : unit}`;
}
