import { KeyError } from "../key-error.ts";
import { referencesIn } from "../keys.ts";

/**
 * The one that the next CA of a role gets: after the last that a file of the folder names, so that none is ever taken twice.
 * @param named in the order of the configuration, @param where its path there
 * @throws KeyError when there is none
 */
export function nextArn(folder: string, named: readonly string[], where: string): string {
  const used = new Set(referencesIn(folder).map(({ arn }) => arn));
  const next = named[named.findLastIndex((arn) => used.has(arn)) + 1];
  if (next === undefined) throw new KeyError(`There is no key for the next CA: name one more in ${where} and restart.`);
  return next;
}
