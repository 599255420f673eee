import { readFileSync } from "node:fs";
import type { ClientRequest } from "node:http";
import { get as httpsGet } from "node:https";
import type { Answers, Asks } from "./probe-messages.ts";

/** An open connection that a download runs on. */
export class Download {
  readonly started: Promise<void>;
  readonly #request: ClientRequest;
  #bytes = 0;
  #lastByteAt = 0;
  #open = true;

  constructor({ host, port, path, ca, localAddress, client }: Asks["download"], now: () => number) {
    this.#request = httpsGet({
      host,
      port,
      path,
      ca: readFileSync(ca),
      agent: false,
      ...(client ?? {}),
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    this.started = new Promise((resolve, reject) => {
      this.#request.once("response", (response) => {
        response.on("data", (chunk: Buffer) => {
          this.#bytes += chunk.length;
          this.#lastByteAt = now();
          resolve();
        });
        response.once("error", reject);
        response.once("close", () => {
          this.#open = false;
        });
      });
      this.#request.once("error", reject);
      this.#request.once("close", () => {
        this.#open = false;
      });
    });
  }

  get localPort(): number {
    return this.#request.socket?.localPort ?? 0;
  }

  get progress(): Answers["progress"] {
    return { bytes: this.#bytes, lastByteAt: this.#lastByteAt, open: this.#open };
  }

  /** One byte, whatever the other side makes of it. */
  speak(): void {
    this.#request.socket?.write("\n");
  }

  end(): void {
    this.#request.on("error", () => {});
    this.#request.destroy();
  }
}
