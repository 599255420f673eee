import { randomBytes } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { parseCode, rawPublicKey, type SecurityCode } from "../../lib/registration/code.ts";
import { type Submission, signSubmission } from "../../lib/registration/submission.ts";
import { parseCommandLine, required, UsageError } from "./command.ts";
import { printJson } from "./control.ts";
import {
  addressTable,
  type DeviceState,
  defaultStateFolder,
  deviceKey,
  dropPending,
  isEnrolled,
  type Pending,
  readPending,
  writePending,
  writeState,
} from "./device-state.ts";
import type { Io } from "./io.ts";
import { facts } from "./print.ts";
import { type Registered, submit } from "./submit.ts";
import { parseHttpsUrl, readFile, tlsEndpoint } from "./tls.ts";

export const help = `Registers this device with a security code

Usage: entityos enroll --url URL [--ca FILE] [--code-file FILE|-]

The code never leaves this device: what is sent is signed with it. Without --code-file it is asked for on the terminal; there is no
option for the code itself, because other users of this machine can read command lines.

Options
  --url URL         the registry's address: https://register.example
  --registry NAME   its name, when it is not the host in --url
  --ca FILE         the root it is trusted by (default: the system's)
  --code-file FILE  file with the code; - is standard input
  --address A       observed (default), or a prefix; may be repeated
  --state DIR       where device.json and device.key are kept (default ${defaultStateFolder()})
  --json            prints JSON

Examples
  entityos enroll --url https://register.example --ca ca.pem
  pass show entityos/code | entityos enroll --url https://register.example --code-file - --address 203.0.113.7
`;

const OPTIONS = {
  url: { type: "string" },
  registry: { type: "string" },
  ca: { type: "string" },
  "code-file": { type: "string" },
  address: { type: "string", multiple: true },
  state: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

/** A request whose answer got lost may be sent again for as long as its proof counts (10 minutes), with time for the way. */
const PENDING_MS = 9 * 60_000;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, OPTIONS);
  const url = required(values.url, "url");
  const registry = values.registry ?? parseHttpsUrl(url, "url").hostname;
  const folder = values.state ?? defaultStateFolder();
  const endpoint = tlsEndpoint(url, { ca: values.ca }, "url");
  if (isEnrolled(folder)) {
    throw new Problem(
      409,
      "already_enrolled",
      `This device is enrolled already (${folder}): another registration needs another --state DIR.`,
    );
  }
  const code = parseCode(await readCode(values["code-file"], io));
  const addresses = values.address ?? ["observed"];
  const key = deviceKey(folder);
  const device = rawPublicKey(key);
  const make = (now: number): Pending => request({ registry, code, addresses, device, now, url });
  const first = usable(readPending(folder), make(io.now()), io.now());
  const keep = (pending: Pending): void => writePending(folder, pending);
  const signer = { signer: `code:${code.selector}`, key: code.privateKey };
  const registered = await submit({ endpoint, first, make, keep, ...signer, registry, io }).catch((error: unknown) => {
    // A refusal is an answer: there is nothing to repeat.
    if (error instanceof Problem && error.status < 500 && error.status !== 429) dropPending(folder);
    throw error;
  });
  const state = stateOf(registered, url, registry, io.now());
  writeState(folder, state);
  dropPending(folder);
  report(state, registered, values.json, io);
}

async function readCode(file: string | undefined, io: Io): Promise<string> {
  if (file === "-") return (await io.readInput()).trim();
  if (file !== undefined) return readFile(file).trim();
  const typed = await io.askSecret("Security code: ");
  if (typed === null)
    throw new UsageError("There is no terminal to ask for the code: give it with --code-file FILE, or - for standard input.");
  return typed.trim();
}

interface Asked {
  readonly registry: string;
  readonly code: SecurityCode;
  readonly addresses: readonly string[];
  /** base64url of the device's public key. */
  readonly device: string;
  readonly now: number;
  readonly url: string;
}

/** The whole request, signed, as it will be sent: a repetition is the same bytes under the same key. */
function request({ registry, code, addresses, device, now, url }: Asked): Pending {
  const nonce = randomBytes(16).toString("base64url");
  const submission: Submission = {
    action: "register",
    registry,
    signer: `code:${code.selector}`,
    addresses,
    csrDigest: null,
    deviceKey: device,
    nonce,
    time: now,
  };
  const signature = signSubmission(submission, code.privateKey);
  const body = JSON.stringify({ selector: code.selector, proof: { nonce, time: now, signature }, addresses, deviceKey: device });
  return { url, idempotencyKey: randomBytes(16).toString("base64url"), body, time: now };
}

/** The request of an earlier run that got no answer, when it asks for the same: sent again, it spends nothing twice. */
function usable(pending: Pending | null, fresh: Pending, now: number): Pending {
  if (pending === null || pending.url !== fresh.url || now - pending.time > PENDING_MS || pending.time > now) return fresh;
  const substance = (body: string): string => {
    const { selector, addresses, deviceKey: key } = JSON.parse(body) as Record<string, unknown>;
    return JSON.stringify({ selector, addresses, key });
  };
  return substance(pending.body) === substance(fresh.body) ? pending : fresh;
}

const stateOf = (registered: Registered, url: string, registry: string, now: number): DeviceState => ({
  url,
  registry,
  device: registered.device,
  registration: registered.id,
  pattern: registered.pattern,
  addresses: registered.addresses,
  enrolledAt: now,
});

function report(state: DeviceState, { sync }: Registered, json: boolean, io: Io): void {
  if (json) {
    printJson(io, { ...state, sync });
    return;
  }
  io.out(
    facts([
      ["registered with", state.registry],
      ["device", state.device],
      ["pattern", state.pattern],
      ["in force on", `${sync.applied} of ${sync.agents} hosts so far`],
    ]),
  );
  io.out(`\n${addressTable(state.addresses, io.now())}`);
}
