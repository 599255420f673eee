import { PATTERNS, type Page, type Profile, type ProfileSettings } from "../../lib/admin/api.ts";
import { LIFETIME } from "../../lib/admin/lifetime.ts";
import { MAX_ADDRESSES } from "../../lib/registration/fields.ts";
import { duration, parseCommandLine, UsageError, wholeNumber } from "./command.ts";
import { CONTROL_HELP, CONTROL_OPTIONS, openControl, printJson } from "./control.ts";
import type { Io } from "./io.ts";

export const help = `Makes a profile, or changes one: what is not named stays as it is

Usage: entityos profile set NAME [options]

It holds for registrations from now on; grants that exist keep their times.

Options
  --pattern P            ip | cert | either | both (default for a new one: ip)
  --addresses A          observed | any | networks, comma-separated (default: observed)
  --address-lifetime T   how long an address stays granted: 12h, 30d, at most 366d (default: 7d)
  --certificate-lifetime T   1h to 90d (default: 7d)
  --max-addresses N      addresses of one device, at most ${MAX_ADDRESSES} (default: 4)
  --widest4 BITS, --widest6 BITS   widest prefix that may be registered (default: 32 and 64)
  --observed6 BITS       64 or 128: what an observed IPv6 address is registered as (default: 64)
  --plain-code yes|no    whether a client may send the code itself, as curl and EST must (default: no)
  --reenroll yes|no      whether its certificate alone gets a device the next one, over EST (default: no)

${CONTROL_HELP}

Examples
  entityos profile set desktop --addresses 203.0.113.0/24,2001:db8::/32 --address-lifetime 30d
  entityos profile set laptop --pattern cert
`;

const OPTIONS = {
  ...CONTROL_OPTIONS,
  pattern: { type: "string" },
  addresses: { type: "string" },
  "address-lifetime": { type: "string" },
  "certificate-lifetime": { type: "string" },
  "max-addresses": { type: "string" },
  widest4: { type: "string" },
  widest6: { type: "string" },
  observed6: { type: "string" },
  "plain-code": { type: "string" },
  reenroll: { type: "string" },
} as const;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values, words } = parseCommandLine(args, OPTIONS, ["NAME"]);
  const [name = ""] = words;
  const control = await openControl(values);
  const { items } = await control.get<Page<Profile>>("/profiles");
  const current = items.find((profile) => profile.name === name);
  const settings: Partial<ProfileSettings> = { ...current, ...changes(values) };
  const profile = await control.send<Profile>("PUT", `/profiles/${encodeURIComponent(name)}`, { ...settings, name: undefined });
  if (values.json) return printJson(io, profile);
  io.out(`profile: ${profile.name} is set\n`);
}

type Values = { readonly [K in keyof typeof OPTIONS]?: string | boolean | undefined };

/** The settings that were named; what a new profile is not told is control's to choose. */
function changes(values: Values): Partial<ProfileSettings> {
  const given = <K extends keyof ProfileSettings>(option: keyof typeof OPTIONS, setting: K, read: (text: string) => ProfileSettings[K]) => {
    const value = values[option];
    return typeof value === "string" ? { [setting]: read(value) } : {};
  };
  return {
    ...given("pattern", "pattern", readPattern),
    ...given("addresses", "addresses", (text) => (text === "observed" || text === "any" ? text : text.split(","))),
    ...given("address-lifetime", "addressLifetimeMs", (text) => duration(text, "address-lifetime", LIFETIME.address)),
    ...given("certificate-lifetime", "certificateLifetimeMs", (text) => duration(text, "certificate-lifetime", LIFETIME.certificate)),
    ...given("max-addresses", "maxAddresses", (text) => wholeNumber(text, "max-addresses", 1, MAX_ADDRESSES)),
    ...given("widest4", "widest4", (text) => wholeNumber(text, "widest4", 0, 32)),
    ...given("widest6", "widest6", (text) => wholeNumber(text, "widest6", 0, 128)),
    ...given("observed6", "observed6", readObserved6),
    ...given("plain-code", "plainCode", (text) => readYesNo(text, "plain-code")),
    ...given("reenroll", "reenroll", (text) => readYesNo(text, "reenroll")),
  };
}

function readObserved6(text: string): ProfileSettings["observed6"] {
  if (text !== "64" && text !== "128") throw new UsageError(`--observed6 is 64 or 128: '${text}' is not.`);
  return text === "64" ? 64 : 128;
}

function readYesNo(text: string, option: string): boolean {
  if (text !== "yes" && text !== "no") throw new UsageError(`--${option} is yes or no: '${text}' is not.`);
  return text === "yes";
}

function readPattern(text: string): ProfileSettings["pattern"] {
  const pattern = PATTERNS.find((known) => known === text);
  if (pattern === undefined) throw new UsageError(`--pattern is one of ${PATTERNS.join(", ")}: '${text}' is not.`);
  return pattern;
}
