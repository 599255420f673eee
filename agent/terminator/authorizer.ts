import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { isIP } from "node:net";
import { parseAddress } from "../../lib/ip.ts";
import { LANES, type Lane } from "../../lib/service.ts";
import type { Identity, Question } from "./admission.ts";
import type { Connection } from "./sockets.ts";

/** A client's whole head comes with each question: what nginx takes at most, and the certificate. */
const MAX_HEAD_BYTES = 64 << 10;
const MAX_HEADERS = 80;
const MAX_CONNECTIONS = 1_024;
/** Longer than nginx keeps a connection that it does not use. */
const KEEP_ALIVE_MS = 60_000;
const TIMEOUT_MS = 5_000;
/** What nginx itself says under such names. */
const OWN = new Set(["x-entityos-lane", "x-entityos-source", "x-entityos-port", "x-entityos-verify", "x-entityos-certificate"]);
const RESERVED = /^(x[^a-z0-9]*entityos|(x[^a-z0-9]*)?forwarded|x[^a-z0-9]*real[^a-z0-9]*ip$)/;

/** Who answers for the agent. */
export interface Judge {
  /** False before any trust is loaded: nobody is admitted then. */
  ready(): boolean;
  /** @returns null when the request is not admitted */
  judge(question: Question, connection: Connection): { readonly identity: Identity | null } | null;
}

/**
 * Answers nginx for every request (`auth_request`): 204 with who it is, 403, or 503 before any trust is loaded. nginx takes everything
 * but 2xx for no. The socket is for the agent's own user, whom nginx runs as: who may ask may also say whose a connection is.
 */
export async function serveAuthorizer(path: string, judge: Judge): Promise<AsyncDisposable> {
  rmSync(path, { force: true });
  const server = createServer({ maxHeaderSize: MAX_HEAD_BYTES, keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    answer(request, response, judge);
  });
  // Every header is looked at: those over Node's own bound would be left out silently.
  server.maxHeadersCount = 0;
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = TIMEOUT_MS;
  server.headersTimeout = TIMEOUT_MS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  chmodSync(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, judge: Judge): void {
  const ready = judge.ready();
  if (!ready || request.url !== "/authorize") {
    response.writeHead(ready ? 403 : 503).end();
    return;
  }
  const asked = readQuestion(request);
  const verdict = asked === null ? null : judge.judge(asked.question, asked.connection);
  if (verdict === null) {
    response.writeHead(403).end();
    return;
  }
  const { identity } = verdict;
  response.writeHead(
    204,
    identity === null
      ? {}
      : {
          "x-entityos-device": identity.device,
          "x-entityos-pattern": identity.pattern,
          "x-entityos-subject": encodeURIComponent(identity.subject),
        },
  );
  response.end();
}

/** @returns null when the request speaks as the gate, or nginx does not say what it must */
function readQuestion({ rawHeaders, headers }: IncomingMessage): { readonly question: Question; readonly connection: Connection } | null {
  const names = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [name.toLowerCase()] : []));
  if (names.length > MAX_HEADERS || names.some((name) => RESERVED.test(name) && !OWN.has(name))) return null;
  const said = (name: string): string => String(headers[`x-entityos-${name}`] ?? "");
  const lane = LANES.find((known): known is Lane => known === said("lane"));
  const [sourcePort, server = "", serverPort] = said("port").split(" ");
  const port = Number(sourcePort);
  if (lane === undefined || !Number.isInteger(port)) return null;
  const source = parseAddress(said("source"));
  // A configuration from before this agent does not say it: such a connection is none of those that it found.
  const to = isIP(server) === 0 ? "" : `${parseAddress(server).address} ${serverPort}`;
  return { question: { lane, ...source, verify: said("verify"), certificate: said("certificate") }, connection: { ...source, port, to } };
}
