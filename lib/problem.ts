/**
 * One error class for every decision "this input is refused": a stable code for programs, a public sentence for people.
 * Carried as RFC 9457 problem+json over HTTP and as "code: sentence" on a terminal. The cause stays in the log.
 */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  /** Public members beside code and detail, e.g. the registry's time. */
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(status: number, code: string, detail: string, options: { cause?: unknown; extra?: Readonly<Record<string, unknown>> } = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.extra = options.extra ?? {};
  }

  /** The body of RFC 9457 §3; `type` is a URN of the code. */
  toJSON(): Record<string, unknown> {
    return {
      type: `urn:entityos:problem:${this.code}`,
      title: this.code,
      status: this.status,
      detail: this.message,
      code: this.code,
      ...this.extra,
    };
  }
}
