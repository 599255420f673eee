import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { get as httpsGet } from "node:https";
import type { Answers, Asks } from "./probe-messages.ts";

const MAX_BODY_BYTES = 1 << 20;

/** One request on a connection of its own. @throws Error when no answer comes in time */
export function get({ host, port, path, ca, timeoutMs, localAddress, client }: Asks["get"], now: () => number): Promise<Answers["get"]> {
  return new Promise((resolve, reject) => {
    const sentAt = now();
    const local = localAddress === undefined ? {} : { localAddress };
    const signal = AbortSignal.timeout(timeoutMs);
    const request = httpsGet({ host, port, path, ca: readFileSync(ca), agent: false, signal, ...(client ?? {}), ...local }, (response) => {
      readBody(response).then((body) => resolve({ status: response.statusCode ?? 0, body, ms: now() - sentAt }), reject);
    });
    request.once("error", reject);
  });
}

export async function readBody(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) throw new Error("the answer is too long");
  }
  return text;
}
