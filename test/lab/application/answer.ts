import type { IncomingMessage, ServerResponse } from "node:http";
import type { Audit } from "./audit.ts";
import { type Files, isFileName } from "./files.ts";
import { type Caller, callerOf } from "./identity.ts";
import { NAME, type People } from "./people.ts";

const MAX_LOGIN_BYTES = 1_024;

export interface Application {
  readonly people: People;
  readonly files: Files;
  readonly audit: Audit;
}

/** The final check: first that it was the gate that sent it, then who the person is, then what that person may. */
export async function answer(application: Application, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const caller = callerOf(request);
  if (caller === null) return end(response, 403);
  const [path = ""] = (request.url ?? "").split("?");
  // No other site's page acts for a person, whatever its browser sends along.
  const site = request.headers["sec-fetch-site"] ?? "none";
  if (!/^(GET|HEAD)$/.test(request.method ?? "") && site !== "same-origin" && site !== "none") return end(response, 403);
  if (`${request.method} ${path}` === "POST /login") return login(application, caller, request, response);
  const person = application.people.personOf(caller, request.headers.cookie);
  if (person === null) return end(response, 401);
  return answerPerson(application, caller, person, request, response, path);
}

async function login({ people, audit }: Application, caller: Caller, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { person, password } = await credentials(request);
  if (person === null) return end(response, 400);
  const cookie = await people.login(caller, person, password);
  audit.write(caller, person, cookie === "later" ? "login limited" : cookie === null ? "login refused" : "login");
  if (cookie === "later") return end(response, 429);
  if (cookie === null) return end(response, 401);
  response.writeHead(204, { "set-cookie": cookie }).end();
}

async function answerPerson(
  { people, files, audit }: Application,
  caller: Caller,
  person: string,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<void> {
  const route = `${request.method} ${path}`;
  if (route === "POST /logout") {
    audit.write(caller, person, "logout");
    response.writeHead(204, { "set-cookie": people.logout(request.headers.cookie) }).end();
    return;
  }
  if (route === "GET /files") return end(response, 200, JSON.stringify(await files.list(person)));
  const name = path.startsWith("/files/") ? path.slice("/files/".length) : "";
  if (!isFileName(name)) return end(response, 404);
  audit.write(caller, person, String(request.method), name);
  if (request.method === "GET" || request.method === "HEAD") return files.send(person, name, request, response);
  if (request.method === "PUT") return end(response, await files.take(person, name, request));
  if (request.method === "DELETE") return end(response, (await files.remove(person, name)) ? 204 : 404);
  end(response, 405);
}

/** JSON alone: a form of another site cannot send it. Name null when it is not. */
async function credentials(request: IncomingMessage): Promise<{ readonly person: string | null; readonly password: string }> {
  const none = { person: null, password: "" };
  if (request.headers["content-type"] !== "application/json" || Number(request.headers["content-length"]) > MAX_LOGIN_BYTES) return none;
  try {
    const { name, password } = JSON.parse((await request.toArray()).join(""));
    return typeof name === "string" && NAME.test(name) && typeof password === "string" ? { person: name, password } : none;
  } catch {
    return none;
  }
}

export function end(response: ServerResponse, status: number, body = ""): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", "content-length": Buffer.byteLength(body) }).end(body);
}
