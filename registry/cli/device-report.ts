import { printJson } from "./control.ts";
import { certificateFolder } from "./device-certificate.ts";
import type { DeviceState } from "./device-state.ts";
import type { Endpoint } from "./http.ts";
import { type Sync, untilInForce } from "./in-force.ts";
import type { Io } from "./io.ts";
import { facts, table, timeText } from "./print.ts";
import type { Signing } from "./proof-headers.ts";
import type { Registered } from "./submit.ts";

export const hosts = ({ applied, agents }: Sync): string => `${applied} of ${agents} hosts`;

export const addressTable = (addresses: DeviceState["addresses"], now: number): string =>
  table(
    ["PREFIX", "LANE", "UNTIL"],
    addresses.map(({ prefix, lane, expiresAt }) => [
      prefix,
      lane,
      expiresAt > now ? timeText(expiresAt) : `expired ${timeText(expiresAt)}`,
    ]),
  );

/** What this device holds of certificates: which, until when, and where. */
export const certificateFacts = (folder: string, { certificate }: DeviceState, now: number): (readonly [name: string, value: string])[] =>
  certificate === null
    ? []
    : [
        ["certificate", `${certificate.serial} (${certificate.keyType})`],
        ["valid until", certificate.notAfter > now ? timeText(certificate.notAfter) : `expired ${timeText(certificate.notAfter)}`],
        ["files", certificateFolder(folder)],
      ];

/** What has come of a submission that is processed and saved. */
export interface Come {
  readonly folder: string;
  readonly state: DeviceState;
  readonly registered: Registered;
  readonly skewMs: number;
  readonly endpoint: Endpoint;
  readonly key: Signing["key"];
  /** "registered with", "renewed with". */
  readonly what: string;
}

/** Tells what a registration or a renewal came to; with `wait`, when it is in force on every host. @throws NotTrueError */
export async function reportRegistered(
  come: Come,
  { wait, json }: { readonly wait: boolean; readonly json: boolean },
  io: Io,
): Promise<void> {
  const { folder, state, registered, skewMs, endpoint, key, what } = come;
  const signing = { signer: `device:${state.device}`, key, registry: state.registry };
  const sync = wait ? await untilInForce({ endpoint, id: registered.id, signing, skewMs, io }) : registered.sync;
  if (json) {
    printJson(io, { ...state, sync });
    return;
  }
  io.out(
    facts([
      [what, state.registry],
      ["device", state.device],
      ["pattern", state.pattern],
      ...certificateFacts(folder, state, io.now()),
      ["in force on", sync.applied === sync.agents ? hosts(sync) : `${hosts(sync)} so far`],
    ]),
  );
  if (state.addresses.length > 0) io.out(`\n${addressTable(state.addresses, io.now())}`);
}
