import { setTimeout } from "node:timers/promises";
import { Problem } from "../../lib/problem.ts";

/** What a command has of the world beside files and the network. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** Integer milliseconds since 1970. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Standard input to its end. @throws Problem input_size above 64 KiB */
  readInput(): Promise<string>;
  /** Asks on the terminal without showing what is typed; null when there is no terminal. */
  askSecret(question: string): Promise<string | null>;
}

const MAX_INPUT_BYTES = 64 * 1024;
/** Return, line feed and Ctrl-D end what is typed; delete and backspace take a character back. */
const ENDS: ReadonlySet<string> = new Set(["\r", "\n", "\u0004"]);
const ERASES: ReadonlySet<string> = new Set(["\u007f", "\b"]);

export const processIo: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  now: () => Date.now(),
  sleep: (ms) => setTimeout(ms),
  async readInput() {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of process.stdin) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_INPUT_BYTES) throw new Problem(422, "input_size", "Standard input is larger than 64 KiB.");
    }
    return Buffer.concat(chunks).toString("utf8");
  },
  askSecret: (question) => (process.stdin.isTTY ? askWithoutEcho(question) : Promise.resolve(null)),
};

/** Raw mode is left on every way out, so that the terminal shows what is typed next. */
function askWithoutEcho(question: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  return new Promise((resolve, reject) => {
    let typed = "";
    const finish = (act: () => void): void => {
      stdin.off("data", onData);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write("\n");
      act();
    };
    const onData = (data: string): void => {
      for (const character of data) {
        if (ENDS.has(character)) {
          finish(() => resolve(typed));
          return;
        }
        if (character === "\u0003") {
          finish(() => reject(new Problem(422, "interrupted", "Interrupted.")));
          return;
        }
        if (ERASES.has(character)) typed = typed.slice(0, -1);
        else if (typed.length < MAX_INPUT_BYTES) typed += character;
      }
    };
    stdin.on("data", onData);
    stdin.resume();
  });
}
