import { type ClientRequest, type IncomingMessage, request as plainRequest } from "node:http";
import { Problem } from "../../lib/problem.ts";

/** Longest answer that is read. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const TIMEOUT_MS = 60_000;
/** A network that swallows packets is told after this; the system would try for two minutes. */
const CONNECT_MS = 10_000;

/** The other side cannot be reached, or ended without an answer: exit code 69. Whether the request took effect is not known. */
export class ConnectionError extends Error {
  readonly hint: string;
  /** Trying again may help: it is not about who the other side is. */
  readonly retry: boolean;

  constructor(message: string, hint: string, retry: boolean, options?: ErrorOptions) {
    super(message, options);
    this.name = "ConnectionError";
    this.hint = hint;
    this.retry = retry;
  }
}

export interface Answer {
  readonly status: number;
  readonly location: string | null;
  readonly body: unknown;
}

export interface Question {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON as it is, so that a repetition is the same bytes. */
  readonly body?: string;
  readonly timeoutMs?: number;
}

/** How to reach a server; `hint` is what to do when that fails. */
export interface Endpoint {
  readonly what: string;
  readonly hint: string;
  open(
    options: { method: string; path: string; headers: Record<string, string> },
    onAnswer: (answer: IncomingMessage) => void,
  ): ClientRequest;
}

export const socketEndpoint = (socketPath: string): Endpoint => ({
  what: socketPath,
  hint: "Is the registry running (entityos-registry serve)? Name its socket with --socket, and run as the user it belongs to.",
  open: (options, onAnswer) => plainRequest({ ...options, socketPath, headers: { host: "control", ...options.headers } }, onAnswer),
});

/** @throws Problem the answer's, when it is 4xx or 5xx | ConnectionError */
export async function ask(endpoint: Endpoint, question: Question): Promise<Answer> {
  const answer = await exchange(endpoint, question);
  if (answer.status >= 400) throw problemOf(answer);
  return answer;
}

function exchange(endpoint: Endpoint, { method, path, headers, body, timeoutMs = TIMEOUT_MS }: Question): Promise<Answer> {
  const content = body === undefined ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void => reject(unreachable(endpoint, cause));
    const request = endpoint.open(
      { method, path, headers: { accept: "application/json", connection: "close", ...content, ...headers } },
      (incoming) => {
        readAnswer(incoming).then(resolve, fail);
      },
    );
    const connecting = setTimeout(() => request.destroy(new Error(`no connection within ${CONNECT_MS / 1_000} s`)), CONNECT_MS);
    request.once("socket", (socket) => socket.once("connect", () => clearTimeout(connecting)));
    request.once("close", () => clearTimeout(connecting));
    request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)));
    request.once("error", fail);
    request.end(body);
  });
}

export async function readAnswer(incoming: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error("the answer is larger than 16 MiB");
  }
  const text = Buffer.concat(chunks).toString("utf8");
  const body = text === "" ? null : parseJson(text);
  return { status: incoming.statusCode ?? 0, location: incoming.headers.location ?? null, body };
}

export const unreachable = (endpoint: Endpoint, cause: NodeJS.ErrnoException): ConnectionError =>
  new ConnectionError(`Cannot reach ${endpoint.what}: ${reasonOf(cause)}`, endpoint.hint, !TRUST.test(cause.code ?? ""), { cause });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error("the answer is not JSON: is this a registry?", { cause });
  }
}

/** Members of a problem that are not of ours go along: the registry's time, what is left of a limit. */
export function problemOf({ status, body }: Answer): Problem {
  const members = isRecord(body) ? body : {};
  const { code, detail } = members;
  if (typeof code !== "string" || typeof detail !== "string")
    return new Problem(status, "http_error", `The registry answered with status ${status}.`);
  const extra = Object.fromEntries(Object.entries(members).filter(([name]) => !RFC_9457.has(name)));
  return new Problem(status, code, detail, { extra });
}

const RFC_9457: ReadonlySet<string> = new Set(["type", "title", "status", "detail", "instance", "code"]);

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Codes of certificates that are not trusted, or for other names. */
const TRUST = /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/;

const reasonOf = (error: NodeJS.ErrnoException): string => {
  switch (error.code) {
    case "ENOENT":
      return "there is no such socket";
    case "ECONNREFUSED":
      return "nobody answers there";
    case "ECONNRESET":
      return "it ended the connection without an answer";
    case "EACCES":
      return "not permitted";
    case "ENOTFOUND":
      return "the name is not known";
    case "EAI_AGAIN":
      return "nobody says at the moment which address that name has";
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return "its certificate is not from a CA that is trusted here (--ca names the file of the root)";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "its certificate is for other names";
    case "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED":
      return "it asks for a certificate, as control does: register has another address";
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return "it does not speak TLS";
    default:
      // OpenSSL's message is a line of its own kind, with its sources' file names; its reason is a sentence.
      if ("reason" in error && typeof error.reason === "string") return error.reason;
      return error.message || error.code || "the connection failed";
  }
};
