/** Work in the background: the first that fails stops all and is the reason; dispose waits for the rest. */
export class Crew implements AsyncDisposable {
  readonly #abort = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  readonly #work: Promise<unknown>[] = [];
  readonly signal: AbortSignal;

  constructor(asked: AbortSignal) {
    this.signal = AbortSignal.any([asked, this.#abort.signal]);
    this.#failed.promise.catch(() => {});
  }

  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  run(work: Promise<unknown>): void {
    this.#work.push(work.catch((error: unknown) => this.#failed.reject(error)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("the agent stops"));
    await Promise.all(this.#work);
  }
}
