import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** What a process can be asked over its standard input and output, and what it answers: one JSON object a line. */
export type Operations = Readonly<Record<string, (ask: never, id: number) => Promise<unknown>>>;

/** A process that answers `Asks` with `Answers`. */
export interface Peer<Asks, Answers> extends AsyncDisposable {
  /** @throws Error with the process's own words, or that it ended */
  ask<K extends keyof Asks & keyof Answers>(operation: K, ask: Asks[K]): Promise<Answers[K]>;
}

interface Reply {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

/** Starts the process and resolves once it takes requests. Disposing ends it by closing its standard input. */
export async function startPeer<Asks, Answers>(command: readonly string[]): Promise<Peer<Asks, Answers>> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>();
  let nextId = 0;
  let ended: Error | undefined;
  const end = (error: Error) => {
    ended ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.once("error", end);
  child.once("close", () => end(new Error(`'${command.join(" ")}' ended`)));
  child.stdin.on("error", () => {});
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { id, answer, error }: Reply = JSON.parse(line);
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(answer as never);
    else asked?.reject(new Error(error));
  });
  const answerTo = <T>(id: number): Promise<T> =>
    new Promise((resolve, reject) => {
      if (ended) reject(ended);
      else waiting.set(id, { resolve, reject });
    });
  await answerTo(nextId++);
  return {
    ask(operation, ask) {
      const id = nextId++;
      const answer = answerTo<Answers[typeof operation]>(id);
      child.stdin.write(`${JSON.stringify({ id, operation, ask })}\n`);
      return answer;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await closed;
    },
  };
}

/** The other side: answers until standard input ends, and the process with it, so nothing outlives whoever asked. */
export function servePeer(operations: Operations): void {
  const reply = (answer: Reply): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);
  const serve = async (line: string): Promise<void> => {
    const { id, operation, ask } = JSON.parse(line);
    try {
      const answer = await operations[operation]?.(ask as never, id);
      reply({ id, answer });
    } catch (error) {
      reply({ id, error: `${operation}: ${error instanceof Error ? error.message : String(error)}` });
    }
  };
  // Ctrl-C reaches the whole foreground group; who asks decides.
  process.on("SIGINT", () => {});
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => void serve(line));
  lines.once("close", () => process.exit(0));
  reply({ id: 0, answer: {} });
}
