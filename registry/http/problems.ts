import type { Socket } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Log } from "../../lib/log.ts";
import { Problem } from "../../lib/problem.ts";

/** What Fastify's own refusals are called here. */
const OURS: Readonly<Record<string, readonly [status: number, code: string, detail: string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, "media_type", "The body must be JSON, with Content-Type: application/json."],
  FST_ERR_CTP_BODY_TOO_LARGE: [413, "request_size", "The body is larger than 16 kB."],
  FST_ERR_CTP_INVALID_JSON_BODY: [400, "request_malformed", "The body is not JSON."],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, "request_malformed", "The body is empty."],
};

/** Any error as a problem that may be told: what is not known to be the client's doing is a 500 that says nothing. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const { code, statusCode } = error instanceof Error ? (error as Error & { code?: unknown; statusCode?: unknown }) : {};
  const known = typeof code === "string" ? OURS[code] : undefined;
  if (known !== undefined) return new Problem(...known, { cause: error });
  if (error instanceof SyntaxError && statusCode === 400)
    return new Problem(400, "request_malformed", "The body is not JSON.", { cause: error });
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500)
    return new Problem(statusCode, "request_malformed", "The request cannot be read.", { cause: error });
  return new Problem(500, "internal", "The registry failed. Try again later.", { cause: error });
}

/** Answers with problem+json (RFC 9457); the cause of a 5xx goes to the log alone. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): void {
  const problem = asProblem(error);
  if (problem.status >= 500) log.error({ method: request.method, path: request.routeOptions.url, err: problem }, "Request failed");
  if (problem.status === 503) reply.header("retry-after", "1");
  if (problem.status === 429 && typeof problem.extra.retryAfter === "number") reply.header("retry-after", String(problem.extra.retryAfter));
  sendProblemBody(reply, problem.status, JSON.stringify(problem));
}

/** Bytes, because Fastify would add to a text's type the charset that JSON does not have (RFC 8259 §11). */
export const sendProblemBody = (reply: FastifyReply, status: number, body: string): FastifyReply =>
  reply.code(status).header("content-type", "application/problem+json").send(Buffer.from(body));

export const notFound = (): Problem => new Problem(404, "not_found", "There is nothing here.");
export const methodNotAllowed = (allowed: string): Problem => new Problem(405, "method_not_allowed", `Only ${allowed} is answered here.`);
export const rateLimited = (): Problem =>
  new Problem(429, "rate_limited", "Too many requests from this address: wait as Retry-After says.");

const PARSER: Readonly<Record<string, readonly [status: number, reason: string, code: string, detail: string]>> = {
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", "headers_too_large", "The request's headers are larger than 16 kB."],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "request_timeout", "The request did not arrive in time."],
};

/** Answers what is no HTTP request that could be routed, and closes. */
export function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason, code, detail] = PARSER[error.code ?? ""] ?? [400, "Bad Request", "http_invalid", "This is no HTTP request."];
  const body = JSON.stringify(new Problem(status, code, detail));
  const head = ["Content-Type: application/problem+json", `Content-Length: ${Buffer.byteLength(body)}`, "Connection: close"];
  socket.end(`HTTP/1.1 ${status} ${reason}\r\n${head.join("\r\n")}\r\n\r\n${body}`);
}
