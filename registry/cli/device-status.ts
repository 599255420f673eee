import { contains, parseAddress, parsePrefix, prefixOf } from "../../lib/ip.ts";
import { Problem } from "../../lib/problem.ts";
import { NotTrueError } from "./command.ts";
import { printJson } from "./control.ts";
import { addressTable, certificateFacts, hosts } from "./device-report.ts";
import { type DeviceState, readDeviceKey, readState } from "./device-state.ts";
import { ask, ConnectionError, isRecord } from "./http.ts";
import type { Sync } from "./in-force.ts";
import type { Io } from "./io.ts";
import { facts, timeText } from "./print.ts";
import { proofHeaders } from "./proof-headers.ts";
import { registeredOf } from "./submit.ts";
import { tlsEndpoint } from "./tls.ts";

/** What the registry says of this device now. */
interface Asked {
  readonly ended: "revoked" | "left" | null;
  readonly sync: Sync;
  /** The address that this device comes from at this moment. */
  readonly seenFrom: string;
}

/** One attempt, because what stands in the file can be told without it. */
const ASK_MS = 5_000;

/**
 * Tells how this device stands: what its file says and, unless `offline`, what the registry says.
 * @throws Problem not_enrolled | ConnectionError, the file's part told already | NotTrueError when the device is out, or all has expired
 */
export async function printDeviceStatus(folder: string, { json, offline }: { json: boolean; offline: boolean }, io: Io): Promise<void> {
  const state = readState(folder);
  let unreachable: ConnectionError | null = null;
  const asked = offline
    ? null
    : await question(state, folder).catch((error: unknown) => {
        if (!(error instanceof ConnectionError)) throw error;
        unreachable = error;
        return null;
      });
  const addresses = state.addresses.map((address) => ({ ...address, live: asked?.ended == null && address.expiresAt > io.now() }));
  const covered =
    asked === null || addresses.length === 0 ? null : addresses.some((address) => address.live && holds(address.prefix, asked.seenFrom));
  if (json) printJson(io, { ...state, addresses, registryAnswers: asked !== null, ...asked, covered });
  else print(folder, state, { asked, covered }, io);
  if (unreachable !== null) throw unreachable;
  const out = asked?.ended ?? null;
  if (out !== null) throw new NotTrueError(`device_${out}: This device ${out === "left" ? "has left" : "was revoked"}.`);
  const certified = state.certificate !== null && state.certificate.notAfter > io.now();
  if (!certified && !addresses.some(({ live }) => live))
    throw new NotTrueError("all_expired: Nothing that this device registered lives any more.");
}

/** @param covered null where that is no question: nobody answered, or the certificate admits from anywhere */
function print(folder: string, state: DeviceState, { asked, covered }: { asked: Asked | null; covered: boolean | null }, io: Io): void {
  const told: [string, string][] =
    asked === null
      ? []
      : [
          ["state", asked.ended ?? "live"],
          ["in force on", hosts(asked.sync)],
          ["seen from", covered === null ? asked.seenFrom : `${asked.seenFrom}, ${coverText(covered, asked.ended !== null)}`],
        ];
  io.out(
    facts([
      ["device", state.device],
      ["registry", `${state.registry} at ${state.url}`],
      ["pattern", state.pattern],
      ...certificateFacts(folder, state, io.now()),
      ["enrolled", timeText(state.enrolledAt)],
      ["renewed", timeText(state.renewedAt)],
      ...told,
    ]),
  );
  if (state.addresses.length > 0) io.out(`\n${addressTable(state.addresses, io.now())}`);
}

function coverText(covered: boolean, ended: boolean): string {
  if (covered) return "which is registered";
  return ended ? "which is not registered" : "which is not registered: entityos renew";
}

async function question({ url, ca, registry, device, registration }: DeviceState, folder: string): Promise<Asked> {
  const endpoint = tlsEndpoint(url, { ca: ca ?? undefined }, "url");
  const { body: here } = await ask(endpoint, { method: "GET", path: "/v1/address", timeoutMs: ASK_MS });
  if (!isRecord(here) || typeof here.address !== "string" || typeof here.time !== "number") throw unreadable();
  // The registry's own time, so that a wrong clock here makes no proof wrong.
  const headers = proofHeaders("status", { signer: `device:${device}`, key: readDeviceKey(folder), registry }, here.time);
  const answer = await ask(endpoint, { method: "GET", path: `/v1/registrations/${registration}`, headers, timeoutMs: ASK_MS });
  const { ended } = isRecord(answer.body) ? answer.body : {};
  if (ended !== null && ended !== "revoked" && ended !== "left") throw unreadable();
  return { ended, sync: registeredOf(answer).sync, seenFrom: here.address };
}

const unreadable = (): Problem => new Problem(502, "answer_unreadable", "The answer is not a registry's: is this address one?");

function holds(prefix: string, address: string): boolean {
  const { family, address: own } = parseAddress(address);
  return contains(parsePrefix(prefix), prefixOf(family, own, family === 4 ? 32 : 128));
}
