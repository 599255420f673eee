import type { Code } from "../../lib/admin/api.ts";
import { parseCommandLine } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, PAGE_HELP, PAGE_OPTIONS, printPage } from "./control.ts";
import type { Io } from "./io.ts";
import { table, timeText } from "./print.ts";

export const help = `Lists security codes: which are for whom, and what is left of them

Usage: entityos code list

${PAGE_HELP}

${CONTROL_HELP}

Examples
  entityos code list
  entityos code list --limit 1000 --json
`;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, { ...CONTROL_OPTIONS, ...PAGE_OPTIONS });
  const page = await (await openControl(values)).page<Code>("/codes", values);
  printPage(io, page, values.json, (codes) =>
    table(
      ["SELECTOR", "SUBJECT", "PROFILE", "USED", "EXPIRES", "WITHDRAWN"],
      codes.map((code) => [
        code.selector,
        code.subject,
        code.profile,
        `${code.used} of ${code.uses}`,
        timeText(code.expiresAt),
        timeText(code.withdrawnAt),
      ]),
    ),
  );
}
