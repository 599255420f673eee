import type { Mutation } from "./mutation.ts";
import { ACCESS } from "./mutations-access.ts";
import { CARE } from "./mutations-care.ts";
import { CLOSED } from "./mutations-closed.ts";
import { FLOWS } from "./mutations-flows.ts";
import { NETWORK } from "./mutations-network.ts";

/** Each rule's slips, by its name. */
export const MUTATIONS: Readonly<Record<string, readonly Mutation[]>> = { ...CLOSED, ...FLOWS, ...NETWORK, ...ACCESS, ...CARE };
