import { randomBytes } from "node:crypto";
import { parseCode } from "../../lib/registration/code.ts";
import { csrDigest, csrFromPem } from "../../lib/registration/csr.ts";
import { signSubmission } from "../../lib/registration/submission.ts";
import { makeKeyAndCsr } from "../../registry/ca/csr.ts";

/** What registrations are signed with and sent to. */
export interface Target {
  readonly host: string;
  readonly registry: string;
  /** As typed. */
  readonly code: string;
}

/** Makes registrations ready to be sent: each of an address of its own, or with a certificate request, as many keys as it was given. */
export class LoadRequests {
  readonly #target: Target;
  readonly #code: ReturnType<typeof parseCode>;
  readonly #csrs: readonly { readonly pem: string; readonly digest: string }[];
  #made = 0;

  private constructor(target: Target, csrs: readonly string[]) {
    this.#target = target;
    this.#code = parseCode(target.code);
    this.#csrs = csrs.map((pem) => ({ pem, digest: csrDigest(csrFromPem(pem)) }));
  }

  /** @param keys so many keys (P-256) and requests of them; 0 for addresses instead */
  static async start(target: Target, keys: number): Promise<LoadRequests> {
    const csrs: string[] = [];
    while (csrs.length < keys) csrs.push((await makeKeyAndCsr(null)).csr);
    return new LoadRequests(target, csrs);
  }

  /** Bytes of the next request, head and body. */
  next(): Buffer {
    const { registry, host } = this.#target;
    const number = this.#made++;
    const csr = this.#csrs[number % this.#csrs.length] ?? null;
    const addresses = csr === null ? [`198.19.${(number >> 8) & 255}.${number & 255}`] : [];
    const [nonce, time] = [randomBytes(16).toString("base64url"), Date.now()];
    const signature = signSubmission(
      {
        action: "register",
        registry,
        signer: `code:${this.#code.selector}`,
        addresses,
        csrDigest: csr?.digest ?? null,
        deviceKey: null,
        nonce,
        time,
      },
      this.#code.privateKey,
    );
    const body = JSON.stringify({ selector: this.#code.selector, proof: { nonce, time, signature }, addresses, csr: csr?.pem ?? null });
    const head = [
      "POST /v1/registrations HTTP/1.1",
      `host: ${host}`,
      "content-type: application/json",
      `content-length: ${Buffer.byteLength(body)}`,
    ];
    return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
  }
}
