import { pino } from "pino";

/** What the programs log with: JSON lines on standard error, so that standard output stays the program's answer. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Names under which a secret could arrive by accident; their values never reach a line. */
const SECRET = [
  "code",
  "secret",
  "signature",
  "key",
  "proof",
  "authorization",
  "*.code",
  "*.secret",
  "*.signature",
  "*.key",
  "*.proof",
  "*.authorization",
];

export function createLog(name: string, level = process.env.ENTITYOS_LOG ?? "info"): Log {
  return pino({ name, level, redact: { paths: SECRET, censor: "[redacted]" } }, pino.destination({ dest: 2, sync: true }));
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
