import type { Resource, Synthesis } from "../synthesis.ts";

/** A state that must not be deployed: a name, why, and who is in it. */
export interface Forbidden {
  readonly name: string;
  readonly why: string;
  /** Each place where it is so: "PART TYPE.ID: what". */
  readonly look: (synthesis: Synthesis) => readonly string[];
}

export const at = ({ part, type, id }: Resource, what: string): string => `${part} ${type}.${id}: ${what}`;

/** What is wrong with each, told with its place; null is nothing. */
export const each = (resources: readonly Resource[], wrong: (resource: Resource) => string | null | false): string[] =>
  resources.flatMap((resource) => {
    const what = wrong(resource);
    return typeof what === "string" ? [at(resource, what)] : [];
  });
