import type { Fields, Json, Resource, Synthesis } from "../synthesis.ts";
import { resourcesOf } from "../synthesis.ts";
import { registryCast, restrictedCast } from "./cast/machines.ts";
import type { Allowed, Cast, Casting, Member } from "./cast/member.ts";
import { networkCast } from "./cast/network.ts";
import { alarmsCast, databaseCast, dnsCast, pkiCast } from "./cast/others.ts";
import { meaning } from "./meaning.ts";
import { at, type Forbidden } from "./rule.ts";

/** Who may be in each stack. */
const CASTS: Readonly<Record<string, Casting>> = {
  network: networkCast,
  pki: pkiCast,
  database: databaseCast,
  registry: registryCast,
  restricted: restrictedCast,
  dns: dnsCast,
  alarms: alarmsCast,
};

/** Fields whose keys are names that anybody may choose. */
const MAPS = new Set(["tags", "dimensions", "policy_details.target_tags"]);

/** Every value of a resource by its path; those of a list together. */
function valuesOf(fields: Fields): Map<string, Json[]> {
  const found = new Map<string, Json[]>();
  const walk = (value: Json, path: string): void => {
    if (Array.isArray(value)) for (const one of value) walk(one, path);
    else if (typeof value === "object" && value !== null && !MAPS.has(path))
      for (const [key, inner] of Object.entries(value)) walk(inner as Json, path === "" ? key : `${path}.${key}`);
    else found.set(path, [...(found.get(path) ?? []), value]);
  };
  const { "//": _, ...rest } = fields;
  walk(rest, "");
  return found;
}

const memberOf = (cast: Cast, { type, id }: Resource): Member | undefined => cast[`${type}.${id}`] ?? cast[`${type}.*`];

const unlisted: Forbidden = {
  name: "unlisted-resource",
  why: "what is deployed is a closed list, made from the settings: stacks, resources, and attributes of each",
  look: (synthesis) => [
    ...[...synthesis.stacks.keys()].filter((part) => CASTS[part] === undefined).map((part) => `${part}: is no stack of ours`),
    ...resourcesOf(synthesis).flatMap((resource) => {
      const member = memberOf(castOf(synthesis, resource.part), resource);
      if (member === undefined) return [at(resource, "is not on the list")];
      return [...valuesOf(resource.fields).keys()].filter((path) => !(path in member)).map((path) => at(resource, `has ${path}`));
    }),
    ...[...synthesis.stacks.keys()].flatMap((part) => {
      const there = new Set(resourcesOf(synthesis).flatMap((one) => (one.part === part ? [`${one.type}.${one.id}`] : [])));
      const wanted = Object.keys(castOf(synthesis, part)).filter((name) => !name.endsWith(".*"));
      return wanted.filter((name) => !there.has(name)).map((name) => `${part} ${name}: is missing`);
    }),
  ],
};

const castOf = ({ settings }: Synthesis, part: string): Cast => CASTS[part]?.(settings) ?? {};

const otherValue: Forbidden = {
  name: "other-value",
  why: "each resource leads to its own and has the values of the settings: profile, role, group, key, subnet, target, name",
  look: (synthesis) =>
    resourcesOf(synthesis).flatMap((resource) => {
      const values = valuesOf(resource.fields);
      return Object.entries(memberOf(castOf(synthesis, resource.part), resource) ?? {}).flatMap(([path, allowed]) => {
        const is = (values.get(path) ?? []).map((value) => meaning(synthesis, resource.part, String(value)));
        return fits(allowed, is) ? [] : [at(resource, `${path} is ${is.join(", ") || "nothing"}`)];
      });
    }),
};

function fits(allowed: Allowed, is: readonly string[]): boolean {
  if (allowed === null) return true;
  const wanted = typeof allowed === "string" ? [allowed] : allowed;
  return [...is].sort().join("\n") === [...wanted].sort().join("\n");
}

export const CAST: readonly Forbidden[] = [unlisted, otherValue];
