import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";
import { Problem } from "../../lib/problem.ts";
import { type HeldCertificate, KEY_TYPES, removeCertificates, sweepCertificates } from "./device-certificate.ts";
import { isRecord, type Question } from "./http.ts";
import type { Places } from "./observe.ts";
import { isAddressList, type Registered } from "./submit.ts";

/** What this device was granted: DIR/device.json. */
export interface DeviceState extends Places {
  readonly registry: string;
  readonly device: string;
  /** The newest one: what status and leave name. */
  readonly registration: string;
  readonly pattern: string;
  readonly addresses: Registered["addresses"];
  /** Addresses as they were asked for, "observed" and the like: what a renewal asks for again. */
  readonly asked: readonly string[];
  readonly certificate: HeldCertificate | null;
  readonly enrolledAt: number;
  readonly renewedAt: number | null;
}

/** A request whose answer is not known yet: DIR/pending.json. It holds the proof, never the code. */
export interface Pending {
  readonly url: string;
  readonly path: string;
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

/** @throws Problem device_folder where it cannot be seen */
export function isEnrolled(folder: string): boolean {
  try {
    return statSync(join(folder, STATE), { throwIfNoEntry: false }) !== undefined;
  } catch (cause) {
    throw new Problem(403, "device_folder", `The folder ${folder} cannot be read: use another --state, or run as the user it belongs to.`, {
      cause,
    });
  }
}

/** The device's Ed25519 key: the one that is there, or a new one, on disk before it is used. @throws Problem device_key_file */
export function makeDeviceKey(folder: string): KeyObject {
  const file = join(folder, KEY);
  if (existsSync(file)) return readDeviceKey(folder);
  makePrivateFolder(folder);
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileAtomic(file, privateKey.export({ type: "pkcs8", format: "pem" }), 0o600);
  return privateKey;
}

/** @throws Problem device_key_file */
export function readDeviceKey(folder: string): KeyObject {
  const file = join(folder, KEY);
  try {
    const key = createPrivateKey(readFileSync(file));
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch (cause) {
    throw new Problem(422, "device_key_file", `Cannot read ${file} as a private key.`, { cause });
  }
  throw new Problem(422, "device_key_file", `Cannot use ${file}: it is not an Ed25519 key.`);
}

/** Keeps a request on disk before it is sent, so that a later run can send the same again. @returns what to send */
export function kept(folder: string, pending: Pending): Question {
  const { path, idempotencyKey, body } = pending;
  writeFileAtomic(join(folder, PENDING), JSON.stringify(pending), 0o600);
  return { method: "POST", path, headers: { "idempotency-key": idempotencyKey }, body };
}

/** Null when there is none, or it cannot be read: then it is as if it had never been. */
export function readPending(folder: string): Pending | null {
  const value = readJson(join(folder, PENDING));
  if (!isRecord(value)) return null;
  const { url, path, idempotencyKey, body, time } = value;
  const whole = [url, path, idempotencyKey, body].every((text) => typeof text === "string") && typeof time === "number";
  return whole ? { url: String(url), path: String(path), idempotencyKey: String(idempotencyKey), body: String(body), time } : null;
}

export const dropPending = (folder: string): void => rmSync(join(folder, PENDING), { force: true });

/** A refusal is an answer: there is nothing to repeat. */
export function dropIfRefused(folder: string, error: unknown): never {
  if (error instanceof Problem && error.status < 500 && error.status !== 429) dropPending(folder);
  throw error;
}

/**
 * When a third of the life is left of whatever ends first, by this device's clock.
 * @returns integer milliseconds since 1970
 */
export function dueAt({ addresses, certificate, enrolledAt, renewedAt }: DeviceState): number {
  const lives = addresses.map(({ expiresAt }) => [renewedAt ?? enrolledAt, expiresAt] as const);
  if (certificate !== null) lives.push([certificate.notBefore, certificate.notAfter]);
  return Math.min(...lives.map(([begin, end]) => Math.floor(end - Math.max(end - begin, 0) / 3)));
}

/** The state first, the request then: whoever dies between repeats the request and is told the same. */
export function writeState(folder: string, state: DeviceState): void {
  const ca = state.ca === null ? null : resolve(state.ca);
  writeFileAtomic(join(folder, STATE), `${JSON.stringify({ ...state, ca }, null, 2)}\n`, 0o600);
  dropPending(folder);
  if (state.certificate === null) removeCertificates(folder);
  else sweepCertificates(folder, state.certificate.serial);
}

/** Without its key a device could not leave any more, so the key goes last. */
export function removeState(folder: string): void {
  dropPending(folder);
  removeCertificates(folder);
  for (const name of [STATE, KEY]) rmSync(join(folder, name), { force: true });
}

/** @throws Problem not_enrolled | device_state */
export function readState(folder: string): DeviceState {
  const file = join(folder, STATE);
  if (!isEnrolled(folder)) throw new Problem(404, "not_enrolled", `This device is not enrolled: there is no ${file}.`);
  const state = parsed(readJson(file));
  if (state === null) throw new Problem(422, "device_state", `Cannot read ${file}: it is not what enroll wrote.`);
  return state;
}

const isText = (value: unknown): value is string => typeof value === "string";
const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value);

function parsed(value: unknown): DeviceState | null {
  if (!isRecord(value)) return null;
  const { url, url4, url6, ca, registry, device, registration, pattern, addresses, asked, certificate, enrolledAt, renewedAt } = value;
  if (!isText(url) || !isTextOrNull(url4) || !isTextOrNull(url6) || !isTextOrNull(ca)) return null;
  if (!isText(registry) || !isText(device) || !isText(registration) || !isText(pattern)) return null;
  if (!isAddressList(addresses) || !Array.isArray(asked) || !asked.every(isText)) return null;
  if (certificate !== null && !isHeld(certificate)) return null;
  if (typeof enrolledAt !== "number" || (renewedAt !== null && typeof renewedAt !== "number")) return null;
  return { url, url4, url6, ca, registry, device, registration, pattern, addresses, asked, certificate, enrolledAt, renewedAt };
}

function isHeld(value: unknown): value is HeldCertificate {
  if (!isRecord(value)) return false;
  const { serial, fingerprint, keyType, notBefore, notAfter } = value;
  // The serial names a folder.
  const named = isText(serial) && /^[0-9a-f]{1,40}$/.test(serial) && isText(fingerprint) && KEY_TYPES.some((type) => type === keyType);
  return named && typeof notBefore === "number" && typeof notAfter === "number";
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return null;
  }
}
