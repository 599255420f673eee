import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ZodError } from "zod";
import type { Log } from "../../lib/log.ts";
import { Problem } from "../../lib/problem.ts";

type Answer = (error: FastifyError | Problem | ZodError, request: FastifyRequest, reply: FastifyReply) => FastifyReply;

/** Every error leaves as problem+json (RFC 9457): ours as it is, the framework's by its status, all else as a 500 that tells nothing. */
export function problemAnswer(log: Log): Answer {
  return (error, request, reply) => {
    const problem = problemOf(error);
    if (problem.status >= 500)
      log.error({ err: error, method: request.method, route: request.routeOptions.url }, "Cannot answer a request");
    else if (problem.cause !== undefined) log.info({ err: problem.cause, problem: problem.code }, "Refused a request");
    return send(reply, problem);
  };
}

/** Errors of handlers and of addresses where nothing is. What the framework refuses before routing goes by its own option. */
export function answerWithProblems(app: FastifyInstance, answer: Answer): void {
  app.setErrorHandler(answer);
  app.setNotFoundHandler((_request, reply) => send(reply, new Problem(404, "not_found", "There is nothing at this address.")));
}

const send = (reply: FastifyReply, problem: Problem): FastifyReply =>
  reply.code(problem.status).header("content-type", "application/problem+json").send(JSON.stringify(problem));

/** Never the framework's own text: it may quote what was sent. */
function problemOf(error: FastifyError | Problem | ZodError): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof ZodError) {
    const [issue] = error.issues;
    const detail = issue === undefined ? "The request does not fit." : `${issue.path.join(".") || "The request"}: ${issue.message}`;
    return new Problem(422, "request_invalid", detail.slice(0, 300));
  }
  switch (error.statusCode) {
    case 400:
      return new Problem(400, "request_malformed", "The request is not JSON, or not HTTP as it should be.", { cause: error });
    case 413:
      return new Problem(413, "request_size", "The request is too large.", { cause: error });
    case 415:
      return new Problem(415, "media_type", "A state change is sent as application/json.", { cause: error });
    default:
      return new Problem(500, "internal", "The registry could not answer: its log says why.", { cause: error });
  }
}
