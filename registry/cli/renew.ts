import { parseCommandLine } from "./command.ts";
import { reportRegistered } from "./device-report.ts";
import { renewRequest, usable } from "./device-request.ts";
import { defaultStateFolder, dropIfRefused, kept, readDeviceKey, readPending, readState, writeState } from "./device-state.ts";
import type { Io } from "./io.ts";
import { ADDRESS_HELP, ADDRESS_OPTIONS, askedAddresses, observe } from "./observe.ts";
import { submit } from "./submit.ts";

export const help = `Renews what this device registered, for another full life

Usage: entityos renew [--address A …]

Without options it asks for what enroll or the last renewal asked for: from another network, "observed" is another address. What is
not asked for any more ends at once.

Options
  --url URL         the registry's address, when it moved
  --ca FILE         the root it is trusted by, when it moved
  --state DIR       folder of the enrolled device (default ${defaultStateFolder()})
  --wait            waits until it is in force on every host, and says how far it is; 1 when it is not within ten minutes
  --json            prints JSON

${ADDRESS_HELP}

Examples
  entityos renew
  entityos renew --dual-stack --wait
  entityos renew --address observed --address 2001:db8::/64 --json
`;

const OPTIONS = {
  ...ADDRESS_OPTIONS,
  url: { type: "string" },
  ca: { type: "string" },
  state: { type: "string" },
  wait: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

export async function run(args: readonly string[], io: Io): Promise<void> {
  const { values } = parseCommandLine(args, OPTIONS);
  const folder = values.state ?? defaultStateFolder();
  const known = readState(folder);
  const key = readDeviceKey(folder);
  const { registry, device } = known;
  const places = {
    url: values.url ?? known.url,
    url4: values.url4 ?? known.url4,
    url6: values.url6 ?? known.url6,
    ca: values.ca ?? known.ca,
  };
  const asked = askedAddresses(values) ?? known.asked;
  const { endpoint, ...observed } = await observe(asked, places);
  const make = (now: number) => renewRequest({ url: places.url, registry, ...observed }, device, key, now);
  const { registered, skewMs } = await submit({
    endpoint,
    first: kept(folder, usable(readPending(folder), make(io.now()), io.now())),
    make: (now) => kept(folder, make(now)),
    signing: { signer: `device:${device}`, key, registry },
    io,
  }).catch((error: unknown) => dropIfRefused(folder, error));
  const { id: registration, pattern, addresses } = registered;
  const state = { ...known, ...places, registration, pattern, addresses, asked, renewedAt: io.now() };
  writeState(folder, state);
  await reportRegistered({ state, registered, skewMs, endpoint, key, what: "renewed with" }, values, io);
}
