import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { Problem } from "../../lib/problem.ts";
import { printJson } from "./control.ts";
import { isRecord } from "./http.ts";
import type { Io } from "./io.ts";
import { facts, table, timeText } from "./print.ts";

/** What this device was granted: DIR/device.json. */
export interface DeviceState {
  readonly url: string;
  readonly registry: string;
  readonly device: string;
  readonly registration: string;
  readonly pattern: string;
  readonly addresses: readonly { readonly prefix: string; readonly lane: string; readonly expiresAt: number }[];
  readonly enrolledAt: number;
}

/** A request whose answer is not known yet: DIR/pending.json. It holds the proof, never the code. */
export interface Pending {
  readonly url: string;
  readonly idempotencyKey: string;
  readonly body: string;
  readonly time: number;
}

const STATE = "device.json";
const KEY = "device.key";
const PENDING = "pending.json";

/** Where a user's device state is kept (XDG Base Directory Specification). */
export function defaultStateFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment.XDG_STATE_HOME;
  return join(base?.startsWith("/") ? base : join(homedir(), ".local/state"), "entityos");
}

export const isEnrolled = (folder: string): boolean => existsSync(join(folder, STATE));

/** The device's Ed25519 key: the one that is there, or a new one, on disk before it is used. @throws Problem device_key_file */
export function deviceKey(folder: string): KeyObject {
  const file = join(folder, KEY);
  if (existsSync(file)) {
    try {
      const key = createPrivateKey(readFileSync(file));
      if (key.asymmetricKeyType === "ed25519") return key;
    } catch (cause) {
      throw new Problem(422, "device_key_file", `Cannot read ${file} as a private key.`, { cause });
    }
    throw new Problem(422, "device_key_file", `Cannot use ${file}: it is not an Ed25519 key.`);
  }
  makePrivateFolder(folder);
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileAtomic(file, privateKey.export({ type: "pkcs8", format: "pem" }), 0o600);
  return privateKey;
}

export function writePending(folder: string, pending: Pending): void {
  writeFileAtomic(join(folder, PENDING), JSON.stringify(pending), 0o600);
}

/** Null when there is none, or it cannot be read: then it is as if it had never been. */
export function readPending(folder: string): Pending | null {
  const value = readJson(join(folder, PENDING));
  if (!isRecord(value)) return null;
  const { url, idempotencyKey, body, time } = value;
  const whole = typeof url === "string" && typeof idempotencyKey === "string" && typeof body === "string" && typeof time === "number";
  return whole ? { url, idempotencyKey, body, time } : null;
}

export const dropPending = (folder: string): void => rmSync(join(folder, PENDING), { force: true });

export function writeState(folder: string, state: DeviceState): void {
  writeFileAtomic(join(folder, STATE), `${JSON.stringify(state, null, 2)}\n`, 0o600);
}

/** @throws Problem not_enrolled | device_state */
export function readState(folder: string): DeviceState {
  if (!isEnrolled(folder)) throw new Problem(404, "not_enrolled", `This device is not enrolled: there is no ${join(folder, STATE)}.`);
  const value = readJson(join(folder, STATE));
  if (!isRecord(value) || typeof value.device !== "string" || !Array.isArray(value.addresses)) {
    throw new Problem(422, "device_state", `Cannot read ${join(folder, STATE)}: it is not what enroll wrote.`);
  }
  return value as unknown as DeviceState;
}

export function printDeviceStatus(folder: string, json: boolean, io: Io): void {
  const state = readState(folder);
  const addresses = state.addresses.map((address) => ({ ...address, live: address.expiresAt > io.now() }));
  if (json) {
    printJson(io, { ...state, addresses });
    return;
  }
  io.out(
    facts([
      ["device", state.device],
      ["registry", `${state.registry} at ${state.url}`],
      ["pattern", state.pattern],
      ["enrolled", timeText(state.enrolledAt)],
    ]),
  );
  io.out(`\n${addressTable(state.addresses, io.now())}`);
}

export const addressTable = (addresses: DeviceState["addresses"], now: number): string =>
  table(
    ["PREFIX", "LANE", "UNTIL"],
    addresses.map(({ prefix, lane, expiresAt }) => [
      prefix,
      lane,
      expiresAt > now ? timeText(expiresAt) : `expired ${timeText(expiresAt)}`,
    ]),
  );

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return null;
  }
}
