import type { Mutation } from "./mutation.ts";
import { ACCESS } from "./mutations-access.ts";
import { CARE } from "./mutations-care.ts";
import { CLOSED } from "./mutations-closed.ts";
import { FLOWS } from "./mutations-flows.ts";
import { NETWORK } from "./mutations-network.ts";
import { OWN, REFUSED } from "./mutations-own.ts";
import { REVIEW } from "./mutations-review.ts";

const ALL = [CLOSED, FLOWS, NETWORK, ACCESS, CARE, REFUSED, OWN, REVIEW].flatMap((some) => Object.entries(some));

/** Each rule's slips, by its name. */
export const MUTATIONS: Readonly<Record<string, readonly Mutation[]>> = Object.fromEntries(
  [...new Set(ALL.map(([name]) => name))].map((name) => [name, ALL.flatMap(([of, some]) => (of === name ? some : []))]),
);
