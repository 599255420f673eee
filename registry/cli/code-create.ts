import type { Code, NewCode } from "../../lib/admin/api.ts";
import { generateCode } from "../../lib/registration/code.ts";
import { duration, parseCommandLine, required, wholeNumber } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";
import { facts, timeText } from "./print.ts";

export const help = `Makes a security code for one subject and shows it once

Usage: entityos code create --subject TEXT --profile NAME [--uses N] [--expires TIME]

The code is made here. Control learns its selector and public key, which let nobody register.

Options
  --subject TEXT   who it is for: a person, a team, an asset number
  --profile NAME   access pattern and limits (entityos profile list)
  --uses N         devices that may enrol with it (default 1)
  --expires TIME   how long it can be used: 30m, 24h, 7d (default 24h)

${CONTROL_HELP}

Examples
  entityos code create --subject alice --profile desktop
  entityos code create --subject "front office" --profile desktop --uses 10 --expires 7d --json
`;

const OPTIONS = {
  ...CONTROL_OPTIONS,
  subject: { type: "string" },
  profile: { type: "string" },
  uses: { type: "string", default: "1" },
  expires: { type: "string", default: "24h" },
} as const;

/** Answer of control: the code as kept, and where its owner goes. */
interface Created {
  readonly code: Code;
  readonly register: { readonly url: string; readonly name: string };
}

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, OPTIONS);
  const { text, selector, publicKey } = generateCode();
  const body: NewCode = {
    selector,
    publicKey,
    subject: required(values.subject, "subject"),
    profile: required(values.profile, "profile"),
    uses: wholeNumber(values.uses, "uses", 1, 1_000_000),
    expiresAt: io.now() + duration(values.expires, "expires"),
  };
  const { code, register } = await (await openControl(values)).send<Created>("POST", "/codes", body);
  const named = new URL(register.url).hostname === register.name ? "" : ` --registry ${register.name}`;
  const enroll = `entityos enroll --url ${register.url}${named} --ca ca.pem`;
  if (values.json) return printJson(io, { ...code, code: text, register, enroll });
  io.out(
    facts([
      ["code", text],
      ["subject", code.subject],
      ["profile", code.profile],
      ["uses", String(code.uses)],
      ["expires", timeText(code.expiresAt)],
    ]),
  );
  io.out(
    `\nThe code is not shown again. Hand it over by a way you trust, with the registry's root as ca.pem; on the device:\n  ${enroll}\n`,
  );
}
