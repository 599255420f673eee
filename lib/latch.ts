/** A door that one side closes for a while and the other waits at. Open at first. */
export class Latch {
  #open: Promise<void> | null = null;
  #release: () => void = () => {};

  get closed(): boolean {
    return this.#open !== null;
  }

  close(): void {
    if (this.#open !== null) return;
    this.#open = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  open(): void {
    this.#open = null;
    this.#release();
  }

  /** Resolves when the door is open. It may be closed again before who waited goes on: `while (latch.closed) await latch.passed()`. */
  async passed(): Promise<void> {
    while (this.#open !== null) await this.#open;
  }
}
