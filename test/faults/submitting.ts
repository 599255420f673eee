import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { parseCode, rawPublicKey } from "../../lib/registration/code.ts";
import { type Submission, signSubmission } from "../../lib/registration/submission.ts";
import { type Deed, newIdempotencyKey, type Send, settledAnswer, Violation } from "./deeds.ts";
import type { KnownCode, KnownDevice, KnownGrant, Model } from "./model.ts";

type Body = Readonly<Record<string, unknown>>;
type Signed = Pick<Submission, "action" | "signer" | "addresses" | "deviceKey">;

/** A signed submission under one Idempotency-Key: however often it is asked, it has one outcome. */
export abstract class Submitting implements Deed {
  readonly what: string;
  readonly #send: Send;
  readonly #ask: Parameters<Send>[0];
  /** What the first answer said, but for how far it had spread. */
  #told: string | null = null;

  protected constructor(what: string, send: Send, ask: Parameters<Send>[0]) {
    this.what = what;
    this.#send = send;
    this.#ask = { ...ask, headers: { "idempotency-key": newIdempotencyKey(), ...ask.headers } };
  }

  async ask(): Promise<boolean> {
    const settled = settledAnswer(await this.#send(this.#ask));
    if (settled === null) return false;
    const { status, body } = settled;
    const told = JSON.stringify([status, { ...body, sync: undefined }]);
    if (this.#told === null) this.take(status, body);
    else if (this.#told !== told) throw this.wrong(`was answered ${this.#told}, and now ${told}`);
    this.#told = told;
    return true;
  }

  /** Takes the first answer into the model. @throws Violation */
  protected abstract take(status: number, body: Body): void;

  protected wrong(text: string): Violation {
    return new Violation(`${this.what}: ${text}`);
  }
}

/** A registration by a code. */
export class Registering extends Submitting {
  readonly #model: Model;
  readonly #code: KnownCode;
  readonly #key: string;
  readonly #madeAt = Date.now();

  constructor(model: Model, send: Send, registry: string, code: KnownCode, addresses: readonly string[]) {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const deviceKey = rawPublicKey(publicKey);
    const signed = { action: "register", signer: `code:${code.selector}`, addresses, deviceKey } as const;
    const proof = prove(registry, signed, parseCode(code.text).privateKey);
    super(`registration of ${addresses.join(", ")} with code ${code.selector}`, send, {
      ...{ method: "POST", path: "/v1/registrations", headers: {} },
      body: JSON.stringify({ selector: code.selector, proof, addresses, deviceKey }),
    });
    this.#model = model;
    this.#code = code;
    this.#key = String(privateKey.export({ format: "pem", type: "pkcs8" }));
  }

  protected override take(status: number, body: Body): void {
    const code = this.#code;
    if (status !== 201) {
      if (body.code !== "code_spent" && body.code !== "code_withdrawn") throw this.wrong(`was answered ${status} ${JSON.stringify(body)}`);
      code.toldSpent = true;
      return;
    }
    code.enrolled++;
    if (code.enrolled > code.uses) throw this.wrong(`device ${code.enrolled} of a code with ${code.uses} uses`);
    if (code.withdrawnAt !== null && code.withdrawnAt < this.#madeAt) throw this.wrong("the code was withdrawn before");
    const id = String(body.device);
    if (this.#model.devices.has(id)) throw this.wrong(`device ${id} exists`);
    const grants = body.addresses as readonly KnownGrant[];
    this.#model.devices.set(id, { id, registration: String(body.id), key: this.#key, grants, ended: false, unsure: false });
  }
}

/** A renewal by the device's key: what it lists is the device's whole set afterwards. */
export class Renewing extends Submitting {
  readonly #device: KnownDevice;

  constructor(send: Send, registry: string, device: KnownDevice, addresses: readonly string[]) {
    const signed = { action: "renew", signer: `device:${device.id}`, addresses, deviceKey: null } as const;
    const proof = prove(registry, signed, createPrivateKey(device.key));
    super(`renewal of device ${device.id} with ${addresses.join(", ")}`, send, {
      ...{ method: "POST", path: "/v1/renewals", headers: {} },
      body: JSON.stringify({ device: device.id, proof, addresses }),
    });
    device.unsure = true;
    this.#device = device;
  }

  protected override take(status: number, body: Body): void {
    if (status !== 201) throw this.wrong(`was answered ${status} ${JSON.stringify(body)}`);
    this.#device.grants = body.addresses as readonly KnownGrant[];
    this.#device.unsure = false;
  }
}

/** A device leaves, by its own key. */
export class Leaving extends Submitting {
  readonly #device: KnownDevice;

  constructor(send: Send, registry: string, device: KnownDevice) {
    const signed = { action: "leave", signer: `device:${device.id}`, addresses: [], deviceKey: null } as const;
    const { nonce, time, signature } = prove(registry, signed, createPrivateKey(device.key));
    const headers = { "entityos-nonce": nonce, "entityos-time": String(time), "entityos-signature": signature };
    super(`leave of device ${device.id}`, send, { method: "DELETE", path: `/v1/registrations/${device.registration}`, headers, body: "" });
    device.unsure = true;
    this.#device = device;
  }

  protected override take(status: number, body: Body): void {
    if (status !== 200) throw this.wrong(`was answered ${status} ${JSON.stringify(body)}`);
    this.#device.ended = true;
    this.#device.unsure = false;
  }
}

function prove(registry: string, signed: Signed, key: KeyObject): { nonce: string; time: number; signature: string } {
  const nonce = randomBytes(16).toString("base64url");
  const time = Date.now();
  return { nonce, time, signature: signSubmission({ ...signed, registry, csrDigest: null, nonce, time }, key) };
}
