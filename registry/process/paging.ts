import type { Page } from "../../lib/admin/api.ts";
import { ADMIN } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";

/** Lists go by key: `after` is the last key of the page before, null for the first page. */
export interface PageRequest {
  readonly after: string | null;
  /** 1 to 1,000. */
  readonly limit: number;
}

/** @throws Problem limit */
export function assertLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= ADMIN.maxLimit) return;
  throw new Problem(422, "limit", `A page holds 1 to ${ADMIN.maxLimit} items.`);
}

/** A full page may have another behind it. */
export function pageOf<T>(items: readonly T[], limit: number, key: (item: T) => string): Page<T> {
  const last = items.at(-1);
  return { items, next: last !== undefined && items.length === limit ? key(last) : null };
}
