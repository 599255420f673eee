import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import type { ExchangeOptions } from "./bounds.ts";
import { NftError } from "./error.ts";
import { ANSWER, PROBE } from "./kept-open.ts";

/** Bound on what is read of one answer, characters. */
const OUTPUT_CHARACTERS = 1 << 20;
const CARET = /^[ ^]+$/;

/** A kept-open nft that somebody else runs, with FIFOs `in` and `out` as its input and output. One asks at a time. */
export class NftAtFifos implements Disposable {
  readonly #input: Socket;
  readonly #output: Socket;

  private constructor(input: Socket, output: Socket) {
    this.#input = input;
    this.#output = output;
    for (const socket of [input, output]) socket.on("error", () => {});
  }

  /** @returns null when nobody reads there */
  static open(folder: string): NftAtFifos | null {
    let input: number;
    try {
      // Without a reader this fails (ENXIO, fifo(7)).
      input = openSync(join(folder, "in"), constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      return null;
    }
    try {
      const output = openSync(join(folder, "out"), constants.O_RDONLY | constants.O_NONBLOCK);
      return new NftAtFifos(
        new Socket({ fd: input, readable: false, writable: true }),
        new Socket({ fd: output, readable: true, writable: false }),
      );
    } catch (cause) {
      closeSync(input);
      throw new NftError("unusable", `${folder} has no output`, { cause });
    }
  }

  /**
   * As that of a kept-open nft of our own. What somebody who died left unread is passed over: nft is given a word that it does not know,
   * and says so before it answers.
   * @throws NftError gone | timeout; the signal's reason. The script may be done or not.
   */
  exchange(line: string, { timeoutMs, signal }: ExchangeOptions): Promise<string> {
    const word = `begin_${randomBytes(8).toString("hex")}`;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    let text = "";
    const take = (part: string) => {
      text += part;
      if (text.length > OUTPUT_CHARACTERS) reject(new NftError("unknown", "nft says too much"));
      const answer = answerAfter(word, text);
      if (answer !== null) resolve(answer);
    };
    const timer = setTimeout(() => reject(new NftError("timeout", `nft did not answer in ${timeoutMs} ms`)), timeoutMs);
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#output
      .setEncoding("utf8")
      .on("data", take)
      .once("close", () => reject(new NftError("gone", "nft has ended")));
    this.#input.write(`${word}\n${line}\n${PROBE}\n`);
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      this.#output.off("data", take);
    });
  }

  [Symbol.dispose](): void {
    this.#input.destroy();
    this.#output.destroy();
  }
}

/** What nft printed between the complaint about the word and the probe's answer; null while that has not come. */
function answerAfter(word: string, text: string): string | null {
  const lines = text.split("\n");
  const from = lines.indexOf(word);
  const to = lines.findIndex((each, at) => at > from && each.startsWith(ANSWER));
  if (from < 0 || to < 0) return null;
  const own = lines.slice(from + 1, to);
  return (CARET.test(own[0] ?? "") ? own.slice(1) : own).join("\n").trim();
}
