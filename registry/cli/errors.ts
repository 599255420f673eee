import { fileRefusal } from "../../lib/file-refusal.ts";
import { Problem } from "../../lib/problem.ts";
import { EXIT } from "../../lib/service.ts";
import { NotTrueError, UsageError } from "./command.ts";
import { ConnectionError } from "./http.ts";
import { visible } from "./print.ts";

/** What an error means on a terminal: "code: sentence", what to do next, exit code. */
export interface Told {
  readonly text: string;
  readonly exit: number;
}

/** What to do next, where the sentence alone does not say it. */
const HINTS: Readonly<Record<string, string>> = {
  profile_unknown: "See what there is: entityos profile list",
  code_unknown: "See what there is: entityos code list",
  device_unknown: "See what there is: entityos device list",
  agent_unknown: "See what there is: entityos agent list",
  certificate_unknown: "See what there is: entityos cert list",
  authority_unknown: "See what there is: entityos ca show",
  agent_exists: "Choose another name, or take its place with --replace.",
  request_role: "Use an operator's certificate (entityos operator enroll), or the local socket.",
  not_enrolled: "Name the folder that it was enrolled into with --state, or enrol it: entityos enroll --help",
  not_found: "Is this address right? Register's is for devices, control's for operators (port 8444 unless configured).",
  audit_broken: "Keep a copy of the database, and compare with your last backup.",
  code_check: "Read the code again, group by group.",
  proof_time: "Set this device's clock.",
  proof_refused: "The registry's name is part of the proof: give it with --registry where it is not the host in --url.",
  certificate_required: "Ask for one: --certificate",
  certificate_not_offered: "Ask for none: leave --certificate out, and renew with --no-certificate.",
  addresses_not_offered: "Register the certificate alone: --certificate --no-addresses",
  all_expired: "Renew it: entityos renew",
  address_not_observed: "Connect over that family too (--dual-stack, --url4, --url6), or register what is observed.",
};

export function tell(error: unknown, command: string): Told {
  if (error instanceof UsageError) return { text: `usage: ${error.message}\nSee: ${command} --help\n`, exit: EXIT.usage };
  if (error instanceof NotTrueError) {
    const hint = HINTS[error.message.slice(0, error.message.indexOf(":"))];
    return { text: `${error.message}\n${hint === undefined ? "" : `${hint}\n`}`, exit: EXIT.failed };
  }
  // A problem's words may be those of whoever answered.
  if (error instanceof ConnectionError) {
    const exit = isForbidden(error.cause) ? EXIT.permission : EXIT.unavailable;
    return { text: `unreachable: ${visible(error.message)}\n${error.hint}\n`, exit };
  }
  if (error instanceof Problem) {
    const hint = Object.hasOwn(HINTS, error.code) ? HINTS[error.code] : undefined;
    return {
      text: `${visible(error.code)}: ${visible(error.message)}\n${hint === undefined ? "" : `${hint}\n`}`,
      exit: exitOf(error.status),
    };
  }
  const refusal = fileRefusal(error);
  if (refusal !== null) return { text: `file_refused: ${visible(refusal.said)}\n${refusal.hint}\n`, exit: refusal.exit };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { text: `internal: ${text}\nThis is a fault of entityos: please report it with the lines above.\n`, exit: EXIT.software };
}

const isForbidden = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "EACCES" || cause.code === "EPERM");

function exitOf(status: number): number {
  if (status === 401 || status === 403) return EXIT.permission;
  if (status === 400 || status === 413 || status === 415 || status === 422) return EXIT.data;
  if (status === 429 || status === 502 || status === 503 || status === 504) return EXIT.unavailable;
  return status >= 500 ? EXIT.software : EXIT.failed;
}
