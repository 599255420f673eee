import { Problem } from "../../lib/problem.ts";
import { looksLikeCode, parseCode, rawPublicKey } from "../../lib/registration/code.ts";
import { CERTIFICATE_HELP, CERTIFICATE_OPTIONS, certificateWish, keepCertificate, requestCertificate } from "./certificate-wish.ts";
import { parseCommandLine, required, UsageError } from "./command.ts";
import { reportRegistered } from "./device-report.ts";
import { registerRequest, usable } from "./device-request.ts";
import { defaultStateFolder, dropIfRefused, isEnrolled, kept, makeDeviceKey, readPending, writeState } from "./device-state.ts";
import type { Io } from "./io.ts";
import { ADDRESS_HELP, ADDRESS_OPTIONS, askedAddresses, observe } from "./observe.ts";
import { submit } from "./submit.ts";
import { parseHttpsUrl, readCertificate, readFile } from "./tls.ts";

export const help = `Registers this device with a security code

Usage: entityos enroll --url URL [--ca FILE] [--code-file FILE|-] [--certificate]

The code never leaves this device: what is sent is signed with it. Without --code-file it is asked for on the terminal; there is no
option for the code itself, because other users of this machine can read command lines.

Options
  --url URL         the registry's address: https://register.example
  --registry NAME   its name, when it is not the host in --url
  --ca FILE         the root it is trusted by (default: the system's)
  --code-file FILE  file with the code; - is standard input
  --state DIR       where device.json and device.key are kept (default ${defaultStateFolder()})
  --wait            waits until it is in force on every host, and says how far it is; 1 when it is not within ten minutes
  --json            prints JSON

Certificate
  --certificate     asks for one: DIR/certificate/ then holds key.pem, made here, certificate.pem and chain.pem
${CERTIFICATE_HELP}

${ADDRESS_HELP}

Examples
  entityos enroll --url https://register.example --ca ca.pem
  entityos enroll --url https://register.example --dual-stack --wait
  entityos enroll --url https://register.example --certificate --no-addresses --pkcs12 ./device.p12
  pass show entityos/code | entityos enroll --url https://register.example --code-file - --address 203.0.113.7
`;

const OPTIONS = {
  ...ADDRESS_OPTIONS,
  ...CERTIFICATE_OPTIONS,
  url: { type: "string" },
  registry: { type: "string" },
  ca: { type: "string" },
  "code-file": { type: "string" },
  state: { type: "string" },
  wait: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, OPTIONS);
  const url = required(values.url, "url");
  const registry = values.registry ?? parseHttpsUrl(url, "url").hostname;
  const places = { url, url4: values.url4 ?? null, url6: values.url6 ?? null, ca: values.ca ?? null };
  const asked = askedAddresses(values) ?? ["observed"];
  if (asked.length === 0 && !values.certificate) throw new UsageError("--no-addresses goes with --certificate: nothing else is left.");
  if (places.ca !== null) readCertificate(places.ca);
  const folder = values.state ?? defaultStateFolder();
  if (isEnrolled(folder)) {
    throw new Problem(
      409,
      "already_enrolled",
      `This device is enrolled already (${folder}): another registration needs another --state DIR.`,
    );
  }
  if (values["code-file"] === "-" && values["pkcs12-password-file"] === "-")
    throw new UsageError("Standard input holds the code or the password, not both.");
  const code = parseCode(await readCode(values["code-file"], io));
  const wish = await certificateWish(values, { wanted: values.certificate, before: null }, io);
  const { endpoint, ...observed } = await observe(asked, places);
  const key = makeDeviceKey(folder);
  const requested = await requestCertificate(folder, wish, io);
  const wanted = { url, registry, ...observed, csr: requested?.csr ?? null };
  const make = (now: number) => registerRequest(wanted, code, rawPublicKey(key), now);
  const { registered, skewMs } = await submit({
    endpoint,
    first: kept(folder, usable(readPending(folder), make(io.now()), io.now())),
    make: (now) => kept(folder, make(now)),
    signing: { signer: `code:${code.selector}`, key: code.privateKey, registry },
    io,
  }).catch((error: unknown) => dropIfRefused(folder, error));
  const certificate = keepCertificate(folder, requested, registered);
  const { id: registration, device, pattern, addresses } = registered;
  const state = {
    ...places,
    registry,
    device,
    registration,
    pattern,
    addresses,
    asked,
    certificate,
    enrolledAt: io.now(),
    renewedAt: null,
  };
  writeState(folder, state);
  await reportRegistered({ folder, state, registered, skewMs, endpoint, key, what: "registered with" }, values, io);
}

async function readCode(file: string | undefined, io: Io): Promise<string> {
  if (file === "-") return (await io.readInput()).trim();
  if (file !== undefined && looksLikeCode(file))
    throw new UsageError("--code-file names a file with the code, and is not the code itself.");
  if (file !== undefined) return readFile(file).trim();
  const typed = await io.askSecret("Security code: ");
  if (typed === null)
    throw new UsageError("There is no terminal to ask for the code: give it with --code-file FILE, or - for standard input.");
  return typed.trim();
}
