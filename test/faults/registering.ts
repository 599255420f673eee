import { generateKeyPairSync, randomBytes } from "node:crypto";
import { parseCode, rawPublicKey } from "../../lib/registration/code.ts";
import { type Submission, signSubmission } from "../../lib/registration/submission.ts";
import { type Deed, newIdempotencyKey, type Send, settledAnswer, Violation } from "./deeds.ts";
import type { KnownCode, KnownGrant, Model } from "./model.ts";

/** Problems that a right registration with a used code may meet. */
const SPENT = ["code_spent", "code_withdrawn"];

/** A registration under one Idempotency-Key: however often it is asked, it is one device or one refusal. */
export class Registering implements Deed {
  readonly what: string;
  readonly #model: Model;
  readonly #send: Send;
  readonly #code: KnownCode;
  readonly #key: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #body: string;
  readonly #madeAt = Date.now();
  /** What the first answer said, as far as a repetition must say the same. */
  #told: string | null = null;

  constructor(model: Model, send: Send, registry: string, code: KnownCode, addresses: readonly string[]) {
    this.#model = model;
    this.#send = send;
    this.#code = code;
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    this.#key = String(privateKey.export({ format: "pem", type: "pkcs8" }));
    const nonce = randomBytes(16).toString("base64url");
    const time = Date.now();
    const deviceKey = rawPublicKey(publicKey);
    const submission: Submission = {
      ...{ action: "register", registry, signer: `code:${code.selector}`, addresses, csrDigest: null, deviceKey, nonce, time },
    };
    const signature = signSubmission(submission, parseCode(code.text).privateKey);
    this.#headers = { "idempotency-key": newIdempotencyKey() };
    this.#body = JSON.stringify({ selector: code.selector, proof: { nonce, time, signature }, addresses, deviceKey });
    this.what = `registration of ${addresses.join(", ")} with code ${code.selector}`;
  }

  async ask(): Promise<boolean> {
    const answer = await this.#send({ method: "POST", path: "/v1/registrations", headers: this.#headers, body: this.#body });
    const settled = settledAnswer(answer);
    if (settled === null) return false;
    const { status, body } = settled;
    const told = status === 201 ? `201 ${String(body.id)} ${String(body.device)}` : `${status} ${String(body.code)}`;
    if (this.#told === null) this.#take(status, body);
    else if (this.#told !== told) throw new Violation(`${this.what}: was answered "${this.#told}", and now "${told}"`);
    this.#told = told;
    return true;
  }

  #take(status: number, body: Readonly<Record<string, unknown>>): void {
    const code = this.#code;
    if (status !== 201) {
      if (!SPENT.includes(String(body.code))) throw new Violation(`${this.what}: was answered ${status} ${JSON.stringify(body)}`);
      code.toldSpent = true;
      return;
    }
    code.enrolled++;
    if (code.enrolled > code.uses) throw new Violation(`${this.what}: device ${code.enrolled} of a code with ${code.uses} uses`);
    if (code.withdrawnAt !== null && code.withdrawnAt < this.#madeAt) throw new Violation(`${this.what}: the code was withdrawn before`);
    const id = String(body.device);
    if (this.#model.devices.has(id)) throw new Violation(`${this.what}: device ${id} exists`);
    const grants = body.addresses as readonly KnownGrant[];
    this.#model.devices.set(id, { id, key: this.#key, grants, ended: false, unsure: false });
  }
}
