/** Why AWS did not do what it was asked for. Says what was asked, never with what. */
export class AwsError extends Error {
  /** "ThrottlingException" and the like, as AWS names it; "Network", "Timeout", "Answer" or "Credentials" for what never got so far. */
  readonly code: string;
  /** HTTP status; 0 where there was none. */
  readonly status: number;

  constructor(operation: string, { code, status, text }: { code: string; status: number; text: string }, options?: ErrorOptions) {
    super(`${operation}: ${code}${status === 0 ? "" : ` (${status})`}: ${text}`, options);
    this.name = "AwsError";
    this.code = code;
    this.status = status;
  }

  /** True when the same request may succeed in a moment. */
  shouldRetry(): boolean {
    return this.status >= 500 || this.status === 429 || PASSING.has(this.code);
  }

  /** True when other credentials may be all that is missing. */
  isOfCredentials(): boolean {
    return this.code === "ExpiredTokenException" || this.code === "UnrecognizedClientException";
  }
}

/** What passes by itself although it may come with status 400 (retry behaviour of the AWS SDKs, and each operation's list of errors). */
const PASSING: ReadonlySet<string> = new Set([
  "Network",
  "Timeout",
  "ThrottlingException",
  "Throttling",
  "ThrottledException",
  "TooManyRequestsException",
  "RequestLimitExceeded",
  "LimitExceededException",
  "KMSInternalException",
  "DependencyTimeoutException",
  "KeyUnavailableException",
  "InternalFailure",
  "ServiceUnavailable",
]);

/** Longest part of a foreign message that is repeated. */
const MAX_TEXT = 300;
const CODE = /^[A-Za-z]{1,64}$/;

/** Reads the error of an AWS JSON protocol: `__type` or the header x-amzn-errortype, each perhaps with a namespace or a URL around it. */
export function awsErrorOf(operation: string, status: number, header: string | null, body: string): AwsError {
  let said: unknown;
  try {
    said = JSON.parse(body);
  } catch {
    said = null;
  }
  const fields = typeof said === "object" && said !== null ? (said as Readonly<Record<string, unknown>>) : {};
  const named = header ?? (typeof fields.__type === "string" ? fields.__type : "");
  const code = named.split(":")[0]?.split("#").at(-1) ?? "";
  const text = [fields.message, fields.Message].find((one) => typeof one === "string") ?? "no message";
  return new AwsError(operation, { code: CODE.test(code) ? code : "Unknown", status, text: String(text).slice(0, MAX_TEXT) });
}
