import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import { delay } from "../../../lib/abort.ts";
import { Backoff } from "../../../lib/backoff.ts";
import type { Clock } from "../../../lib/clock.ts";
import { Slots } from "../../../lib/slots.ts";
import { type CredentialSource, createCredentials } from "./credentials.ts";
import { AwsError, awsErrorOf } from "./error.ts";

/** What does not answer is known after {@link MAX_ATTEMPTS} of these. */
const ATTEMPT_MS = 4_000;
export const MAX_ATTEMPTS = 4;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 1_500;
/** Requests under way at one time; more wait for their turn. */
const MAX_UNDER_WAY = 64;
/** Largest answer that is read. */
export const MAX_ANSWER_BYTES = 256 * 1024;

/** A region's service, as its requests are addressed and signed. */
export interface AwsService {
  /** Name in the signature: "kms". */
  readonly name: string;
  readonly region: string;
  readonly endpoint: URL;
}

/** What all services of one process share. */
export interface AwsParts {
  readonly credentials: CredentialSource;
  readonly clock: Clock;
  /** Ends waits and requests. */
  readonly signal: AbortSignal;
  /** Each attempt ends after this. */
  readonly attemptMs: number;
}

/** @param environment the process's, where it holds credentials */
export const awsParts = (
  environment: Readonly<Record<string, string | undefined>>,
  clock: Clock,
  signal: AbortSignal = new AbortController().signal,
): AwsParts => ({ credentials: createCredentials(environment, clock), clock, signal, attemptMs: ATTEMPT_MS });

interface Request {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly maxBytes: number;
}

/** One service of AWS: signed requests (Signature Version 4), bounded in time, size and number, tried again where that may help. */
export class AwsApi {
  readonly #service: AwsService;
  readonly #parts: AwsParts;
  readonly #slots = new Slots(MAX_UNDER_WAY);

  constructor(service: AwsService, parts: AwsParts) {
    this.#service = service;
    this.#parts = parts;
  }

  /**
   * Calls an operation of the JSON protocol 1.1.
   * @param target "TrentService.Sign"
   * @throws AwsError
   */
  async call(target: string, input: object): Promise<Readonly<Record<string, unknown>>> {
    const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": target };
    const request: Request = { method: "POST", path: "/", headers, body: JSON.stringify(input), maxBytes: MAX_ANSWER_BYTES };
    const answer = await this.#retried(target, request);
    let value: unknown;
    try {
      // An operation that returns nothing has an empty body.
      value = answer.length === 0 ? {} : JSON.parse(answer.toString("utf8"));
    } catch (cause) {
      throw new AwsError(target, { code: "Answer", status: 200, text: "the answer is not JSON" }, { cause });
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new AwsError(target, { code: "Answer", status: 200, text: "the answer is no object" });
    return value as Readonly<Record<string, unknown>>;
  }

  /**
   * Reads an object by its path.
   * @returns null when it is not there
   * @throws AwsError
   */
  async get(path: string, maxBytes: number): Promise<Buffer | null> {
    try {
      return await this.#retried(`GET ${path}`, { method: "GET", path, headers: {}, body: "", maxBytes });
    } catch (error) {
      if (error instanceof AwsError && error.status === 404) return null;
      throw error;
    }
  }

  async #retried(operation: string, request: Request): Promise<Buffer> {
    const { signal } = this.#parts;
    const backoff = new Backoff({ minMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#slots.run(() => this.#once(operation, request));
      } catch (error) {
        if (!(error instanceof AwsError) || attempt >= MAX_ATTEMPTS || signal.aborted) throw error;
        if (!error.shouldRetry() && !(error.isOfCredentials() && attempt === 1)) throw error;
      }
      await delay(backoff.next(), signal);
    }
  }

  async #once(operation: string, request: Request): Promise<Buffer> {
    const { credentials: source, signal, attemptMs } = this.#parts;
    const credentials = await source.current().catch((cause: unknown) => {
      const text = "no credentials: neither AWS_ACCESS_KEY_ID in the environment nor an instance profile (IMDSv2)";
      throw new AwsError(operation, { code: "Credentials", status: 0, text }, { cause });
    });
    const headers = await this.#sign(request, credentials);
    const { method, path, body } = request;
    const within = AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]);
    const what = { method, headers, redirect: "error", signal: within, ...(method === "GET" ? {} : { body }) } as const;
    let answer: { readonly status: number; readonly errorType: string | null; readonly bytes: Buffer };
    try {
      const response = await fetch(new URL(path, this.#service.endpoint), what);
      const bytes = await readBounded(response, request.maxBytes);
      answer = { status: response.status, errorType: response.headers.get("x-amzn-errortype"), bytes };
    } catch (cause) {
      if (cause instanceof AwsError) throw cause;
      const late = cause instanceof Error && cause.name === "TimeoutError";
      const text = late ? `no answer within ${attemptMs} ms` : `cannot reach ${this.#service.endpoint.host}`;
      throw new AwsError(operation, { code: late ? "Timeout" : "Network", status: 0, text }, { cause });
    }
    if (answer.status === 200) return answer.bytes;
    const error = awsErrorOf(operation, answer.status, answer.errorType, answer.bytes.toString("utf8"));
    if (error.isOfCredentials()) source.refused(credentials);
    throw error;
  }

  /** @returns the headers to send; `host` is what fetch writes itself */
  async #sign({ method, path, headers, body }: Request, credentials: Awaited<ReturnType<CredentialSource["current"]>>) {
    const { name: service, region, endpoint } = this.#service;
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const identity = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
    const signer = new SignatureV4({ service, region, credentials: identity, sha256: Sha256, uriEscapePath: service !== "s3" });
    const unsigned = { method, protocol: endpoint.protocol, hostname: endpoint.hostname, path, query: {}, body };
    const signingDate = new Date(this.#parts.clock.now());
    const signed = await signer.sign({ ...unsigned, headers: { ...headers, host: endpoint.host } }, { signingDate });
    const { host: _, ...sent } = signed.headers;
    return sent;
  }
}

async function readBounded(response: Response, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw new AwsError("answer", { code: "Answer", status: response.status, text: `longer than ${maxBytes} bytes` });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** SHA-256 and HMAC as the signer asks for them. */
class Sha256 {
  readonly #hash: { update(data: Uint8Array | string): unknown; digest(): Buffer };

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
  }

  update(data: Uint8Array | string): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}

function bytesOf(secret: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof secret === "string") return secret;
  return ArrayBuffer.isView(secret) ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength) : new Uint8Array(secret);
}
