import { posix } from "node:path";
import type { Place } from "./layering.rules.ts";

export interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}

export interface Rules {
  readonly places: readonly Place[];
  readonly seams: Readonly<Record<string, RegExp>>;
  readonly shipped: RegExp;
  readonly dependencies: readonly string[];
}

/** Every import of a source in the house's format: static, re-export, side effect, dynamic. */
export function importsOf(source: string): Import[] {
  const statics = source.matchAll(/^(?:import|export)(\s+type)?\s[^;"'`]*?\bfrom\s+"([^"]+)"/gm);
  const effects = source.matchAll(/^import\s+"([^"]+)"/gm);
  const dynamics = source.matchAll(/\b(?:import|require)\(\s*["'`]([^"'`]+)["'`]/g);
  return [
    ...[...statics].map(([, type, from]) => ({ from: from ?? "", typeOnly: type !== undefined })),
    ...[...effects, ...dynamics].map(([, from]) => ({ from: from ?? "", typeOnly: false })),
  ];
}

/** The text of every comment; strings and templates are passed over. */
export function commentsOf(source: string): string[] {
  const tokens = source.match(/"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g) ?? [];
  return tokens.filter((token) => token.startsWith("/*") || token.startsWith("//"));
}

/** Everything in a tree (path → source) that breaks the rules, as sentences; none is a sound tree. */
export function brokenRules(tree: ReadonlyMap<string, string>, rules: Rules): string[] {
  const broken: string[] = [];
  for (const [file, source] of tree) {
    const place = placeOf(file, rules.places);
    if (place === undefined) {
      broken.push(`${file} has no place in the order`);
      continue;
    }
    for (const one of importsOf(source)) broken.push(...brokenImport(file, place, one, tree, rules));
    for (const mention of mentionsOf(source, tree)) {
      if (!permits(place, mention, false, rules.places))
        broken.push(`${file} mentions ${mention} in a comment, which stands above ${place.name}`);
    }
  }
  return broken;
}

function brokenImport(file: string, place: Place, { from, typeOnly }: Import, tree: ReadonlyMap<string, string>, rules: Rules): string[] {
  if (!from.startsWith(".")) return brokenPackage(file, place, packageOf(from), rules);
  const target = posix.normalize(posix.join(posix.dirname(file), from));
  if (!tree.has(target)) return target.endsWith(".ts") ? [`${file} imports ${target}, which is not there`] : [];
  return permits(place, target, typeOnly, rules.places) ? [] : [`${file} imports ${target}: ${place.name} may not`];
}

function brokenPackage(file: string, place: Place, name: string, rules: Rules): string[] {
  if (place.name === "test") return [];
  const seam = rules.seams[name];
  if (seam !== undefined && !seam.test(file)) return [`${file} imports ${name}: only ${seam.source} may`];
  const shipped = rules.shipped.test(file) && !name.startsWith("node:") && !rules.dependencies.includes(name);
  return shipped ? [`${file} imports ${name}, which is not in dependencies`] : [];
}

function placeOf(file: string, places: readonly Place[]): Place | undefined {
  return places.find((place) => place.files.test(file));
}

function permits(place: Place, target: string, typeOnly: boolean, places: readonly Place[]): boolean {
  const other = placeOf(target, places);
  if (other === place || place.may.includes(target)) return true;
  if (other === undefined) return false;
  return place.may.includes(other.name) || (typeOnly && (place.mayType ?? []).includes(other.name));
}

/** "@scope/name/lib/x" → "@scope/name"; "node:fs/promises" stays whole. */
function packageOf(from: string): string {
  if (from.startsWith("node:")) return from;
  return from
    .split("/")
    .slice(0, from.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Files of the tree that the comments name, by path or by a file name that only one file has. */
function mentionsOf(source: string, tree: ReadonlyMap<string, string>): string[] {
  const words = commentsOf(source)
    .flatMap((comment) => comment.match(/\w[\w.-]*(?:\/[\w.-]+)*\/?/g) ?? [])
    .map((word) => word.replace(/\.$/, ""));
  const named = words.flatMap((word) => {
    if (word.includes("/"))
      return [...tree.keys()].filter((file) => file === word || file.startsWith(word.replace(/\/?$/, "/"))).slice(0, 1);
    const same = word.endsWith(".ts") ? [...tree.keys()].filter((file) => posix.basename(file) === word) : [];
    return same.length === 1 ? same : [];
  });
  return [...new Set(named)];
}
