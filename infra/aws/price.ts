export const HOURS_A_MONTH = 730;

/** USD, and where it was read. Null is what could not be looked up. */
export interface Price {
  readonly monthly: number | null;
  readonly said: string;
}

/** What is paid, how many of it, and what one costs in a month. */
export type Item = readonly [what: string, count: number, price: Price];

/** On demand, Linux, us-east-1. AWS's own price lists could not be reached: these are what others wrote of them, on that day. */
export const TABLE = "a table checked against instances.vantage.sh, 2026-07-28";
export const APRIL = "a table checked against AWS's pages, April 2026";
export const CLOUDBURN = "cloudburn.io, 2026-02-24";
export const LEAN = "leanopstech.com, 2026-04-27";
/** Not read again when it was written here. */
export const MEMORY = "from memory of that page, 2026-11-29";

export const hourly = (usd: number, said: string): Price => ({ monthly: usd * HOURS_A_MONTH, said: `${usd} an hour, ${said}` });
