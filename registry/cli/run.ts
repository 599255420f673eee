import { fitted } from "../../lib/help.ts";
import { EXIT } from "../../lib/service.ts";
import { VERSION } from "../../lib/version.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import type { Io } from "./io.ts";

/** Every command: what it does in a line, and its file, which is loaded when the command is called and not before. */
const COMMANDS: Readonly<Record<string, readonly [about: string, load: () => Promise<Command>]>> = {
  "code create": ["makes a security code for one subject", () => import("./code-create.ts")],
  "code list": ["lists codes", () => import("./code-list.ts")],
  "code withdraw": ["ends a code before its time", () => import("./code-withdraw.ts")],
  "profile list": ["lists profiles", () => import("./profile-list.ts")],
  "profile set": ["makes or changes a profile", () => import("./profile-set.ts")],
  "device list": ["lists devices", () => import("./device-list.ts")],
  "device show": ["shows one device, its grants and certificates", () => import("./device-show.ts")],
  "device revoke": ["ends a device's access, open connections too", () => import("./device-revoke.ts")],
  "grant list": ["lists granted prefixes", () => import("./grant-list.ts")],
  "ca show": ["shows CAs and their lists", () => import("./ca-show.ts")],
  "ca rotate": ["makes the next device CA, infrastructure CA or root", () => import("./ca-rotate.ts")],
  "ca retire": ["takes a CA out that does not sign, with all that it signed", () => import("./ca-retire.ts")],
  "cert list": ["lists certificates", () => import("./cert-list.ts")],
  "cert revoke": ["ends one certificate", () => import("./cert-revoke.ts")],
  "agent list": ["lists agents and what they have", () => import("./agent-list.ts")],
  "agent request": ["makes an agent's key and request on its host", () => import("./agent-request.ts")],
  "agent enroll": ["makes an agent's key and certificate", () => import("./agent-enroll.ts")],
  "operator enroll": ["makes an operator's key and certificate", () => import("./operator-enroll.ts")],
  "epoch begin": ["makes every agent take what Storage holds, after it was put back", () => import("./epoch-begin.ts")],
  "audit list": ["lists who changed what", () => import("./audit-list.ts")],
  "audit verify": ["checks that the audit log is whole", () => import("./audit-verify.ts")],
  status: ["shows how the registry stands, or this device", () => import("./status.ts")],
  enroll: ["registers this device with a security code", () => import("./enroll.ts")],
  renew: ["renews what this device registered", () => import("./renew.ts")],
  leave: ["ends this device, and forgets it here", () => import("./leave.ts")],
};

const EXIT_HELP = `Exit codes: 0 done · 1 refused or not true · 64 usage · 65 input refused
            69 not reachable · 70 internal fault · 77 not permitted`;

const OF_DEVICE: ReadonlySet<string> = new Set(["enroll", "renew", "leave", "status"]);

const HELP = `entityos: registers devices, and operates the registry they register with

Usage: entityos COMMAND [options]; entityos COMMAND --help

Operator
${listing((name) => name === "status" || !OF_DEVICE.has(name))}
Device
${listing((name) => OF_DEVICE.has(name))}
Examples
  entityos code create --subject alice --profile desktop
  entityos enroll --url https://register.example --ca ca.pem
  entityos renew

${EXIT_HELP}
`;

/** Runs one command line; what it prints goes to `io`. @returns the exit code */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  const [first, second] = args;
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    (first === undefined ? io.err : io.out)(fitted(HELP));
    return first === undefined ? EXIT.usage : EXIT.ok;
  }
  if (first === "--version") {
    io.out(`entityos ${VERSION}\n`);
    return EXIT.ok;
  }
  const name = Object.hasOwn(COMMANDS, first) ? first : `${first} ${second ?? ""}`;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const title = command === undefined ? "entityos" : `entityos ${name}`;
  try {
    if (command === undefined) throw new UsageError(unknown(first, second));
    const { help, run } = await command[1]();
    const rest = args.slice(name.split(" ").length);
    if (wantsHelp(rest)) io.out(fitted(`${help}\n${EXIT_HELP}\n`));
    else await run(rest, io);
    return EXIT.ok;
  } catch (error) {
    const { tell } = await import("./errors.ts");
    const { text, exit } = tell(error, title);
    io.err(text);
    return exit;
  }
}

/** Help is asked for before "--": behind it every word is an argument. */
function wantsHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? undefined : end).some((arg) => arg === "--help" || arg === "-h");
}

function unknown(first: string, second: string | undefined): string {
  const verbs = Object.keys(COMMANDS).flatMap((name) => (name.startsWith(`${first} `) ? [name.slice(first.length + 1)] : []));
  if (verbs.length === 0) return `There is no command '${first}'.`;
  return `'${first}' goes with ${verbs.join(", ")}${second === undefined || second.startsWith("-") ? "" : `, not with '${second}'`}.`;
}

function listing(choose: (name: string) => boolean): string {
  const names = Object.keys(COMMANDS).filter(choose);
  return names.map((name) => `  ${name.padEnd(18)}${COMMANDS[name]?.[0] ?? ""}\n`).join("");
}
