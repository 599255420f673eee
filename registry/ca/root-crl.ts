import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Issuer } from "./certificate.ts";
import { type CrlFacts, readCrlFacts, signCrl } from "./crl.ts";
import { DerError } from "./der.ts";

/** The root's key is away most of the time, so its list lasts a year; `init` makes the next one from half of that on. */
export const ROOT_CRL_LIFE_MS = 365 * 24 * 60 * 60_000;

/** As with certificates: a list counts from a minute before it was made, for those whose clock is behind. */
export const CRL_BACKDATE_MS = 60_000;

export interface RootCrl extends CrlFacts {
  readonly der: Buffer;
}

/** A root's list. @param entries CAs that were taken back, from {@link crlEntries}: one that ends with its last certificate needs none */
export function makeRootCrl(root: Issuer, now: number, entries: readonly Buffer[] = []): Promise<Buffer> {
  const facts = { number: crlNumber(0, now), thisUpdate: now - CRL_BACKDATE_MS, nextUpdate: now + ROOT_CRL_LIFE_MS };
  return signCrl(root, facts, entries);
}

/** Numbers never go back, also when Storage was restored from a copy: they are times, or one more than the last where that is higher. */
export const crlNumber = (last: number, now: number): number => Math.max(last + 1, Math.floor(now / 1_000));

/** @param root name of its files without their ends. @returns null when it is not there, or cannot be read: then it has to be made anew */
export function readRootCrl(folder: string, root: string): RootCrl | null {
  const file = join(folder, `${root}.crl`);
  if (!existsSync(file)) return null;
  const der = readFileSync(file);
  try {
    return { der, ...readCrlFacts(der) };
  } catch (error) {
    if (error instanceof DerError) return null;
    throw error;
  }
}

export function rootCrlIsDue(folder: string, root: string, now: number): boolean {
  const crl = readRootCrl(folder, root);
  return crl === null || now >= (crl.thisUpdate + crl.nextUpdate) / 2;
}
