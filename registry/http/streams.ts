import { Problem } from "../../lib/problem.ts";
import { REGISTER } from "./limits.ts";
import { rateLimited } from "./problems.ts";

/** A place among the open event streams. */
export interface Place {
  /** Aborted when the stream's life is over, its place was given back, or the registry stops. */
  readonly signal: AbortSignal;
  /** Gives the place back; a second time does nothing. */
  release(): void;
}

/** The open event streams: so many in all, so many of one source, each for so long. */
export class Streams implements Disposable {
  readonly #places = new Set<Place>();
  readonly #bySource = new Map<string, number>();
  #closed = false;

  /** @throws Problem rate_limited | streams_full */
  open(source: string): Place {
    const ofSource = this.#bySource.get(source) ?? 0;
    if (ofSource >= REGISTER.maxStreamsPerSource) throw rateLimited();
    if (this.#closed || this.#places.size >= REGISTER.maxStreams)
      throw new Problem(503, "streams_full", "Too many event streams are open: ask again, or ask for the registration itself.");
    const abort = new AbortController();
    const release = (): void => {
      if (!this.#places.delete(place)) return;
      clearTimeout(timer);
      const left = (this.#bySource.get(source) ?? 1) - 1;
      if (left === 0) this.#bySource.delete(source);
      else this.#bySource.set(source, left);
      abort.abort(new Error("the stream ends"));
    };
    const timer = setTimeout(release, REGISTER.streamLifeMs);
    const place = { signal: abort.signal, release };
    this.#places.add(place);
    this.#bySource.set(source, ofSource + 1);
    return place;
  }

  /** Every stream ends; none is opened any more. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const place of [...this.#places]) place.release();
  }
}
