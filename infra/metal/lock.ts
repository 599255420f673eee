import { shellWord } from "../../lib/shell.ts";
import { UNFINISHED } from "./observed.ts";
import type { Remote } from "./ssh.ts";
import { SCRIPT_EXIT } from "./whole.ts";

/** Held on the host for as long as a step runs there, also after the link to who began it was lost; says who that is. */
export const LOCK = "/run/entityos-metal.lock";

/**
 * The same host, where one step runs at a time, whoever began it: another one ends with the code locked.
 * @param who a deploy or removal, in the words by which others are told of it
 */
export const lockedBy = (remote: Remote, who: string): Remote => ({
  sh: (step, script, options) =>
    remote.sh(
      step,
      `exec 9>>${LOCK}
flock -n 9 || { echo "on this host works $(cat ${LOCK}): wait until it ends" >&2; exit ${SCRIPT_EXIT.locked}; }
echo ${shellWord(`${who}, step ${step}`)} >${LOCK}
${script}`,
      options,
    ),
});

/**
 * The same host for a deploy that was begun there. Two deploys never take turns: who began last goes on, and the other one's next step
 * ends with the code taken_over.
 */
export const claimedBy = (remote: Remote, who: string): Remote => ({
  sh: (step, script, options) =>
    lockedBy(remote, who).sh(
      step,
      `claim=$(cat ${UNFINISHED} 2>/dev/null) || claim='no deploy any more'
[ "$claim" = ${shellWord(who)} ] || { echo "on this host works $claim: plan again when it has ended" >&2; exit ${SCRIPT_EXIT.taken_over}; }
${script}`,
      options,
    ),
});
