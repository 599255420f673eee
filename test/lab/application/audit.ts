import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import type { Caller } from "./identity.ts";

/** Who did what: one JSON object a line, on disk before the client is answered. What cannot be written down is not done. */
export class Audit implements Disposable {
  readonly #fd: number;

  constructor(file: string) {
    this.#fd = openSync(file, "a", 0o600);
  }

  /** @throws the disk's error */
  write(caller: Caller, person: string | null, action: string, what: string | null = null): void {
    const { device, lane, source } = caller;
    writeSync(this.#fd, `${JSON.stringify({ at: new Date().toISOString(), action, what, person, device, lane, source })}\n`);
    fdatasyncSync(this.#fd);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
