import { pino } from "pino";

/** What the programs log with: JSON lines on standard error, so that standard output stays the program's answer. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Names under which a secret could arrive by accident; their values never reach a line. */
const SECRET = new Set(["code", "secret", "signature", "key", "proof", "authorization", "privateKey", "idempotencyKey", "password"]);
/** Levels that are looked into; what lies deeper is not written. */
const MAX_DEPTH = 5;

export function createLog(name: string, level = process.env.ENTITYOS_LOG ?? "info"): Log {
  const formatters = { log: (fields: object) => withoutSecrets(fields, MAX_DEPTH) };
  return pino({ name, level, formatters }, pino.destination({ dest: 2, sync: true }));
}

function withoutSecrets(fields: object, depth: number): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, safe(name, value, depth)]));
}

/** Errors stay whole: their `code` is that of a problem or of the system (ENOENT), which a log is read for. */
function safe(name: string, value: unknown, depth: number): unknown {
  if (SECRET.has(name) && value !== undefined && value !== null) return "[redacted]";
  if (typeof value !== "object" || value === null || value instanceof Error || value instanceof Date) return value;
  if (depth === 0) return "[too deep]";
  return Array.isArray(value) ? value.map((one) => safe("", one, depth - 1)) : withoutSecrets(value, depth - 1);
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
