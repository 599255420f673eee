import { X509Certificate } from "node:crypto";
import { delay } from "../lib/abort.ts";
import { type CertificateLife, endsSoon, lifeOf } from "../lib/certificate-life.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { Problem } from "../lib/problem.ts";
import type { TlsPair, TlsSource } from "./ca/server-tls.ts";
import { isSignerUnavailable } from "./ca/signer-unavailable.ts";

/** How often a listener's certificate is looked at. */
const LOOK_MS = 10_000;

export interface KeeperParts {
  readonly role: "register" | "control";
  readonly source: TlsSource;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Keeps a listener's certificate new, without a connection lost: open ones go on, new ones are shown the newest. What cannot be used
 * changes nothing and is looked at again.
 */
export class TlsKeeper {
  readonly #parts: KeeperParts;
  #current: TlsPair;
  #apply: (pair: TlsPair) => void = () => {};
  #alarmed = false;

  private constructor(parts: KeeperParts, current: TlsPair) {
    this.#parts = parts;
    this.#current = current;
  }

  /**
   * A key that cannot be used at the moment keeps nobody from starting while the certificate from before is good: it is an alarm, and
   * looked at again as always.
   * @throws PkiError | Problem signer_unavailable when there is nothing to begin with
   */
  static async open(parts: KeeperParts): Promise<TlsKeeper> {
    const { role, source, clock, log } = parts;
    try {
      return new TlsKeeper(parts, await source.newest(clock.now()));
    } catch (error) {
      if (!isSignerUnavailable(error)) throw error;
      const held = source.held(clock.now());
      if (held === null) throw nothingToShow(role, error);
      log.error({ role, err: error, alarm: "server_certificate" }, "Cannot replace the certificate; the one before goes on");
      return new TlsKeeper(parts, held);
    }
  }

  get current(): TlsPair {
    return this.#current;
  }

  /** Of what is shown. */
  get life(): CertificateLife {
    return lifeOf(new X509Certificate(this.#current.certificate));
  }

  /** Takes a newer one where there is one. @returns whether there was */
  async look(): Promise<boolean> {
    const { role, source, clock, log } = this.#parts;
    try {
      const next = await source.newest(clock.now());
      const changed = next.certificate !== this.#current.certificate || next.key !== this.#current.key;
      if (changed) {
        this.#apply(next);
        this.#current = next;
        log.info({ role, notAfter: this.life.notAfter }, "Certificate replaced");
      }
      this.#alarm();
      return changed;
    } catch (error) {
      log.error({ role, err: error, alarm: "server_certificate" }, "Cannot replace the certificate; the one before goes on");
      return false;
    }
  }

  /** Looks from now on until it is disposed of. */
  start(apply: (pair: TlsPair) => void): AsyncDisposable {
    this.#apply = apply;
    const abort = new AbortController();
    const run = async (): Promise<void> => {
      for (;;) {
        await delay(LOOK_MS, abort.signal);
        await this.look();
      }
    };
    const running = run().catch(() => {});
    return {
      async [Symbol.asyncDispose]() {
        abort.abort(new Error("the listener stops"));
        await running;
      },
    };
  }

  #alarm(): void {
    const { role, clock, log } = this.#parts;
    const { life } = this;
    const near = endsSoon(life, clock.now());
    if (near && !this.#alarmed) log.warn({ role, notAfter: life.notAfter, alarm: "server_certificate" }, "Certificate ends soon");
    this.#alarmed = near;
  }
}

/** Its cause is the first reason, for whoever runs the program. */
const nothingToShow = (role: string, error: unknown): Problem =>
  new Problem(
    503,
    "signer_unavailable",
    `Cannot begin: there is no certificate for ${role} that is good, and the key that signs one cannot be used at the moment. Start again once it can; 'entityos-registry init' says so too, and makes what is missing.`,
    { cause: error instanceof Error ? error.cause : error },
  );
