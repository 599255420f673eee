import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/**
 * The floor of every apply: nft(8) kept open and fed one JSON document a line, with nothing around it. A document is
 * acknowledged by the answer to a terse listing at its end.
 */
export class BareNft implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<void>;
  #waiting: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor() {
    this.#child = spawn("stdbuf", ["-oL", "nft", "-j", "-t", "-i"]);
    const fail = (text: string) => this.#take()?.reject(new Error(text));
    this.#closed = new Promise((resolve) => this.#child.once("close", () => resolve()));
    void this.#closed.then(() => fail("nft ended"));
    this.#child.once("error", (error) => fail(error.message));
    this.#child.stdin.on("error", () => {});
    this.#child.stderr.on("data", (chunk: Buffer) => fail(chunk.toString().trim()));
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      if (line.startsWith('{"nftables"')) this.#take()?.resolve();
    });
  }

  /** One transaction. One at a time. @throws Error with nft's words */
  apply(commands: readonly object[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#child.stdin.write(`${JSON.stringify({ nftables: [...commands, { list: { ruleset: {} } }] })}\n`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#closed;
  }

  #take() {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }
}
