/** Where the deploying of a host stops. */
export const STEPS = [
  "connect",
  "plan",
  "packages",
  "configuration",
  "enrolment",
  "certificate",
  "start",
  "health",
  "record",
  "removal",
] as const;
export type Step = (typeof STEPS)[number];

/** A host that did not become what it is to be: which one, at which step, with a stable code. */
export class HostError extends Error {
  readonly host: string;
  readonly step: Step;
  readonly code: string;

  constructor(host: string, step: Step, code: string, detail: string, cause?: unknown) {
    // What a host said may be in it.
    super(`${host}: ${step}: ${code}: ${detail.replace(/[^\P{Cc}\n]|\p{Cf}/gu, "?")}`, { cause });
    this.name = "HostError";
    this.host = host;
    this.step = step;
    this.code = code;
  }

  /** Whether the host may answer a moment later, though nobody does anything. */
  shouldRetry(): boolean {
    return this.code === "unreachable" || this.code === "timed_out";
  }
}
