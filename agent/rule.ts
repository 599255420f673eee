import { isIPv4 } from "node:net";
import { parsePrefix } from "../lib/ip.ts";
import type { Rule } from "./desired.ts";

/**
 * A rule that may go into a script for the kernel: the lane is one of ours, the prefix is canonical text to the letter, the time an integer.
 * @throws RangeError naming what does not fit
 */
export function checkedRule(lane: string, prefix: string, expiresAt: number): Rule {
  if (lane !== "ip" && lane !== "ipcert") throw new RangeError(`no lane '${lane}'`);
  if (!Number.isSafeInteger(expiresAt)) throw new RangeError(`no time '${expiresAt}'`);
  // The commonest form, without the whole parser: isIPv4 takes canonical dotted decimal only.
  const single = prefix.endsWith("/32") && isIPv4(prefix.slice(0, -3));
  if (!single && parsePrefix(prefix).text !== prefix) throw new RangeError(`'${prefix}' is not canonical`);
  return { lane, prefix, expiresAt };
}
