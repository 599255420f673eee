import { createHash } from "node:crypto";

/** Exit codes by which a script tells that it did not begin. No program that scripts call ends with one of them. */
export const SCRIPT_EXIT = { not_whole: 74, locked: 75, taken_over: 76 } as const;
const CODES = Object.keys(SCRIPT_EXIT) as (keyof typeof SCRIPT_EXIT)[];

/** What an exit code of a script means; undefined for those that are the script's own. */
export const codeOf = (code: number): keyof typeof SCRIPT_EXIT | undefined => CODES.find((name) => SCRIPT_EXIT[name] === code);

/** Shell: ends a script that got less or other than was sent. */
export const notWhole = (what: string): string =>
  `{ echo '${what} is not what was sent: nothing is changed, deploy again' >&2; exit ${SCRIPT_EXIT.not_whole}; }`;

/** The script, which begins only when all of this input has come: a lost link looks like an input that is over. */
export function whole(script: string, input: string): string {
  if (input === "") return script;
  const sum = createHash("sha256").update(input).digest("hex");
  return `input=$(mktemp); cat >"$input"; exec <"$input"; came=$(sha256sum <"$input"); rm -f "$input"
[ "\${came%% *}" = ${sum} ] || ${notWhole("standard input")}
${script}`;
}
