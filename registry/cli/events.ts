import type { IncomingMessage } from "node:http";
import { type Endpoint, problemOf, type Question, readAnswer, unreachable } from "./http.ts";

/** Longest event that is read. */
const MAX_EVENT_CHARACTERS = 256 * 1024;
/** The registry says every 10 s that a stream lives. */
const SILENT_MS = 45_000;

export interface ServerEvent {
  readonly name: string;
  /** JSON. */
  readonly data: string;
}

/**
 * Server-sent events of one stream until it ends (HTML Living Standard §9.2.6, as far as the registry uses it).
 * @throws Problem the answer's, when it is 4xx or 5xx | ConnectionError when the stream breaks
 */
export async function* readEvents(endpoint: Endpoint, { path, headers }: Question): AsyncGenerator<ServerEvent, void> {
  const answer = await opened(endpoint, { accept: "text/event-stream", connection: "close", ...headers }, path);
  if ((answer.statusCode ?? 0) >= 400) throw problemOf(await readAnswer(answer));
  try {
    let text = "";
    for await (const chunk of answer.setEncoding("utf8")) {
      const blocks = (text + String(chunk)).split("\n\n");
      text = blocks.pop() ?? "";
      if (text.length > MAX_EVENT_CHARACTERS) throw new Error("an event is larger than 256 Ki characters");
      for (const block of blocks) {
        const event = parsed(block);
        if (event !== null) yield event;
      }
    }
  } catch (cause) {
    throw unreachable(endpoint, cause instanceof Error ? cause : new Error(String(cause)));
  } finally {
    answer.destroy();
  }
}

function opened(endpoint: Endpoint, headers: Record<string, string>, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = endpoint.open({ method: "GET", path, headers }, resolve);
    request.setTimeout(SILENT_MS, () => request.destroy(new Error(`silent for ${SILENT_MS / 1_000} s`)));
    request.once("error", (cause) => reject(unreachable(endpoint, cause)));
    request.end();
  });
}

/** Null for a comment. */
function parsed(block: string): ServerEvent | null {
  const match = /^event: (.*)\ndata: (.*)$/.exec(block);
  return match === null ? null : { name: match[1] ?? "", data: match[2] ?? "" };
}
