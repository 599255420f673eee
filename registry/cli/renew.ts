import type { KeyObject } from "node:crypto";
import { CERTIFICATE_HELP, CERTIFICATE_OPTIONS, certificateWish, keepCertificate, requestCertificate } from "./certificate-wish.ts";
import { parseCommandLine, UsageError } from "./command.ts";
import { printJson } from "./control.ts";
import { certificateKey } from "./device-certificate.ts";
import { reportRegistered } from "./device-report.ts";
import { renewRequest, usable } from "./device-request.ts";
import {
  type DeviceState,
  defaultStateFolder,
  dropIfRefused,
  dueAt,
  kept,
  readDeviceKey,
  readPending,
  readState,
  writeState,
} from "./device-state.ts";
import type { Io } from "./io.ts";
import { ADDRESS_HELP, ADDRESS_OPTIONS, askedAddresses, observe } from "./observe.ts";
import { timeText } from "./print.ts";
import { submit } from "./submit.ts";

export const help = `Renews what this device registered, for another full life

Usage: entityos renew [--if-due] [--address A …]

Without options it asks for what enroll or the last renewal asked for: from another network, "observed" is another address. What is
not asked for any more ends at once. A device with a certificate gets its next one, for a new key; the one before goes on for an hour.

Options
  --if-due          only when a third of a life is left, of an address or of the certificate: for a timer
  --url URL         the registry's address, when it moved
  --ca FILE         the root it is trusted by, when it moved
  --state DIR       folder of the enrolled device (default ${defaultStateFolder()})
  --wait            waits until it is in force on every host, and says how far it is; 1 when it is not within ten minutes
  --json            prints JSON

Certificate
  --certificate     asks for one also where there is none yet
  --no-certificate  asks for none; the one that there is goes on to its end
  --by-certificate  signs with the certificate's own key instead of the device's
  --same-key        for the key of the certificate before, instead of a new one
${CERTIFICATE_HELP}

${ADDRESS_HELP}

Examples
  entityos renew
  entityos renew --if-due
  entityos renew --dual-stack --wait
  entityos renew --by-certificate
  entityos renew --address observed --address 2001:db8::/64 --json
`;

const OPTIONS = {
  ...ADDRESS_OPTIONS,
  ...CERTIFICATE_OPTIONS,
  "no-certificate": { type: "boolean", default: false },
  "by-certificate": { type: "boolean", default: false },
  "same-key": { type: "boolean", default: false },
  "if-due": { type: "boolean", default: false },
  url: { type: "string" },
  ca: { type: "string" },
  state: { type: "string" },
  wait: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, OPTIONS);
  if (values.certificate && values["no-certificate"]) throw new UsageError("--certificate and --no-certificate exclude each other.");
  const folder = values.state ?? defaultStateFolder();
  const known = readState(folder);
  if (values["if-due"] && !isDue(folder, known, io)) return sayNotDue(known, values.json, io);
  const key = readDeviceKey(folder);
  const { registry, device, certificate: before } = known;
  const wanted = values.certificate || (before !== null && !values["no-certificate"]);
  const wish = await certificateWish(values, { wanted, before }, io);
  const places = {
    url: values.url ?? known.url,
    url4: values.url4 ?? known.url4,
    url6: values.url6 ?? known.url6,
    ca: values.ca ?? known.ca,
  };
  const asked = askedAddresses(values) ?? known.asked;
  if (asked.length === 0 && wish === null) throw new UsageError("Nothing to renew: neither addresses nor a certificate.");
  const { endpoint, ...observed } = await observe(asked, places);
  const requested = await requestCertificate(folder, wish, io);
  const request = { url: places.url, registry, ...observed, csr: requested?.csr ?? null };
  const signer = values["by-certificate"] ? { device, ...certificateSigner(folder, before) } : { device, key, certificate: null };
  const make = (now: number) => renewRequest(request, signer, now);
  const { registered, skewMs } = await submit({
    endpoint,
    first: kept(folder, usable(readPending(folder), make(io.now()), io.now())),
    make: (now) => kept(folder, make(now)),
    signing: { signer: `device:${device}`, key, registry },
    io,
  }).catch((error: unknown) => dropIfRefused(folder, error));
  const { id: registration, pattern, addresses } = registered;
  // A profile that admits by address alone has ended the certificates that there were.
  const certificate = keepCertificate(folder, requested, registered) ?? (pattern === "ip" ? null : before);
  const state = { ...known, ...places, registration, pattern, addresses, asked, certificate, renewedAt: io.now() };
  writeState(folder, state);
  await reportRegistered({ folder, state, registered, skewMs, endpoint, key, what: "renewed with" }, values, io);
}

/** @throws UsageError where there is no certificate */
function certificateSigner(folder: string, before: DeviceState["certificate"]): { readonly key: KeyObject; readonly certificate: string } {
  const key = before === null ? null : certificateKey(folder);
  if (before === null || key === null) throw new UsageError("--by-certificate needs a certificate, and there is none here.");
  return { key, certificate: before.fingerprint };
}

/** A renewal that got no answer is due: it may have been done. */
const isDue = (folder: string, known: DeviceState, io: Io): boolean => readPending(folder) !== null || dueAt(known) <= io.now();

function sayNotDue(known: DeviceState, json: boolean, io: Io): void {
  const at = dueAt(known);
  if (json) printJson(io, { due: false, dueAt: at });
  else io.out(`not due before ${timeText(at)}\n`);
}
