import { expect } from "chai";
import { z } from "zod";
import { plainWords } from "../../lib/words.ts";

/** A schema, what does not fit it, and the words for that. */
const CASES: readonly [schema: z.ZodType, value: unknown, words: string][] = [
  [z.strictObject({ name: z.string() }), {}, "is missing"],
  [z.string(), 7, "must be text"],
  [z.boolean(), "yes", "must be true or false"],
  [z.strictObject({}), [], "must be a group of settings"],
  [z.array(z.string()), "a", "must be a list"],
  [z.number(), Number.NaN, "must be a finite number"],
  [z.int(), 1.5, "must be a whole number"],
  [z.strictObject({}), { colour: "s3cret" }, 'unknown key "colour"'],
  [z.strictObject({}), { a: 1, b: 2 }, 'unknown key "a", "b"'],
  [z.enum(["none", "haproxy"]), "s3cret", "must be one of none, haproxy"],
  [z.literal("s3"), "s3cret", "must be s3"],
  [
    z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("file") }), z.strictObject({ kind: z.literal("kms") })]),
    { kind: "s3cret" },
    "must be one of file, kms",
  ],
  [z.string().min(1), "", "must not be empty"],
  [z.string().max(3), "abcd", "must have at most 3 characters"],
  [z.array(z.string()).min(1), [], "must have at least 1 entry"],
  [z.array(z.string()).max(2), ["a", "b", "c"], "must have at most 2 entries"],
  [z.int().min(1), 0, "must be at least 1"],
  [z.int().max(65535), 65536, "must be at most 65535"],
  [z.string().regex(/^x$/, "a name is x"), "y", "a name is x"],
];

describe("plain words for what does not fit", () => {
  for (const [schema, value, words] of CASES) {
    it(`say "${words}"`, () => {
      const found = schema.safeParse(value, { error: plainWords });
      expect(found.error?.issues.map(({ message }) => message)).to.deep.equal([words]);
    });
  }
});
