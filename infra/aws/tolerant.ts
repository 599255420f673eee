import { z } from "zod";

/** Settings as far as they have the right form: null stands where they have not. */
export type Tolerant<T> =
  | null
  | (T extends readonly (infer E)[]
      ? readonly Tolerant<E>[]
      : T extends object
        ? { readonly [K in keyof T]: Tolerant<Exclude<T[K], undefined>> | Extract<T[K], undefined> }
        : T);

/**
 * A schema that takes everything that a value has in the right form: what has not becomes null where it stands, an element of a list
 * alone, so that what is beside it is looked at all the same.
 */
export function tolerant(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodObject) {
    const fields = Object.entries(schema.shape as Record<string, z.ZodType>).map(([key, field]) => [key, tolerant(field)]);
    return z.object(Object.fromEntries(fields)).nullable().catch(null);
  }
  if (schema instanceof z.ZodArray)
    return z
      .array(tolerant(schema.element as z.ZodType))
      .nullable()
      .catch(null);
  if (schema instanceof z.ZodOptional) return tolerant(schema.unwrap() as z.ZodType).optional();
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return tolerant(schema.unwrap() as z.ZodType).prefault(schema.def.defaultValue as never);
  if (schema instanceof z.ZodUnion) {
    const options = schema.options as readonly z.ZodType[];
    return z
      .unknown()
      .optional()
      .transform((value) => {
        const whole = options.find((option) => option.safeParse(value).success);
        const alike = options.find((option) => isAlike(option, value));
        return (whole ?? (alike === undefined ? z.null().catch(null) : tolerant(alike))).parse(value);
      });
  }
  return schema.nullable().catch(null);
}

/** Whether a value is of the sort that an option is for: a list, or the kind that it names. */
function isAlike(option: z.ZodType, value: unknown): boolean {
  if (option instanceof z.ZodArray) return Array.isArray(value);
  if (!(option instanceof z.ZodObject) || typeof value !== "object" || value === null) return false;
  const { kind } = option.shape as Record<string, z.ZodType>;
  return kind?.safeParse((value as { kind?: unknown }).kind).success === true;
}

/** Issues with those of a union's options in their place: the option is told of that the value comes nearest to. */
export function flatIssues(issues: readonly z.core.$ZodIssue[]): { readonly path: readonly PropertyKey[]; readonly message: string }[] {
  return issues.flatMap((issue) => {
    if (issue.code !== "invalid_union") return [issue];
    const nearest = issue.errors.map(flatIssues).find((inner) => inner.every(({ path }) => path.length > 0));
    return (nearest ?? []).length === 0 || nearest === undefined
      ? [issue]
      : nearest.map(({ path, message }) => ({ path: [...issue.path, ...path], message }));
  });
}
