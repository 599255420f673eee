import { createPrivateKey, generateKeyPairSync, hash, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { WebSocket } from "ws";
import { FEED } from "../../lib/feed/limits.ts";
import { decodeServerMessage } from "../../lib/feed/messages.ts";
import { rawPublicKey, type SecurityCode } from "../../lib/registration/code.ts";
import { makeKeyAndCsr } from "../../registry/ca/csr.ts";
import { registerRequest, renewRequest } from "../../registry/cli/device-request.ts";
import type { Pending } from "../../registry/cli/device-state.ts";

/** What somebody knows a registry by, and where it answers. */
export interface Target {
  readonly registerUrl: string;
  readonly controlUrl: string;
  readonly registry: string;
}

/** Files of whoever has a certificate of the infrastructure CA. */
export interface Credentials {
  readonly certificate: string;
  readonly key: string;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One request over a connection of its own, so that each looks at the server's chain. @param pins PEM of the roots that are trusted */
export function ask(
  url: URL,
  options: {
    readonly pins: string;
    readonly method?: string;
    readonly headers?: Record<string, string>;
    readonly body?: string;
    readonly as?: Credentials;
  },
): Promise<Answer> {
  const { pins, method = "GET", headers = {}, body, as } = options;
  const client = as === undefined ? {} : { cert: readFileSync(as.certificate), key: readFileSync(as.key) };
  return new Promise((resolve, reject) => {
    const asking = request(url, { ca: pins, agent: false, method, headers, timeout: 20_000, ...client }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("error", reject);
      response.once("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
    });
    asking.once("timeout", () => asking.destroy(new Error("no answer within 20 s")));
    asking.once("error", reject);
    asking.end(body);
  });
}

/** A device that keeps to one root, whichever that is, and registers or renews with each request. */
export class Device {
  readonly #target: Target;
  readonly #pin: string;
  readonly #code: SecurityCode;
  #held: { readonly device: string; readonly deviceKey: KeyObject; readonly key: KeyObject; readonly certificate: string } | null = null;
  #renewals = 0;
  /** Devices that it was, and is no more. */
  readonly past = new Set<string>();

  constructor(target: Target, pin: string, code: SecurityCode) {
    this.#target = target;
    this.#pin = pin;
    this.#code = code;
  }

  /** Registers, then renews by its own key and by its certificate's in turns, then is another device. @returns what it did @throws Error when it was refused */
  async step(): Promise<"registered" | "renewed"> {
    const { key, csr } = await makeKeyAndCsr(null);
    const wanted = { url: this.#target.registerUrl, registry: this.#target.registry, addresses: ["observed"], observations: [], csr };
    const held = this.#held;
    if (held === null) {
      const { privateKey, publicKey } = generateKeyPairSync("ed25519");
      const answer = await this.#send(registerRequest(wanted, this.#code, rawPublicKey(publicKey), Date.now()));
      this.#held = {
        device: answer.device,
        deviceKey: privateKey,
        key: createPrivateKey(key),
        certificate: fingerprintOf(answer.certificate.pem),
      };
      return "registered";
    }
    const { device, deviceKey, certificate } = held;
    const byCertificate = this.#renewals++ % 2 === 1;
    const signer = byCertificate ? { device, key: held.key, certificate } : { device, key: deviceKey, certificate: null };
    const answer = await this.#send(renewRequest(wanted, signer, Date.now()));
    this.#held = { ...held, key: createPrivateKey(key), certificate: fingerprintOf(answer.certificate.pem) };
    if (this.#renewals % 4 === 0) {
      this.past.add(device);
      this.#held = null;
    }
    return "renewed";
  }

  async #send({ url, path, idempotencyKey, body }: Pending): Promise<{ device: string; certificate: { pem: string } }> {
    const headers = {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      "idempotency-key": idempotencyKey,
    };
    for (;;) {
      const { status, text } = await ask(new URL(path, url), { pins: this.#pin, method: "POST", headers, body });
      if (status === 201) return JSON.parse(text) as { device: string; certificate: { pem: string } };
      // Stored, and not decided within two seconds: the same again gets the first outcome.
      if (status !== 202) throw new Error(`${path} answers ${status} ${text}`);
    }
  }
}

const fingerprintOf = (pem: string): string => hash("sha256", new X509Certificate(pem).raw);

/** Connects to the feed as an agent does, takes what there is, acknowledges it, and goes. @throws Error when it was refused */
export function visitFeed({ controlUrl }: Target, pins: string, name: string, as: Credentials): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(new URL(FEED.path, controlUrl.replace(/^https/, "wss")), FEED.subprotocol, {
      ca: pins,
      cert: readFileSync(as.certificate),
      key: readFileSync(as.key),
      minVersion: "TLSv1.3",
      handshakeTimeout: 20_000,
    });
    let epoch = "";
    let isDone = false;
    socket.once("open", () => {
      const nothing = { epoch: null, revision: 0, digest: "0".repeat(32) };
      socket.send(JSON.stringify({ type: "hello", agent: name, version: "0", instance: name, ...nothing }));
    });
    socket.on("message", (data) => {
      const decoded = decodeServerMessage(String(data));
      if (decoded.kind !== "message") return;
      const { message } = decoded;
      if (message.type === "welcome") epoch = message.epoch;
      if (message.type !== "snapshot.end") return;
      isDone = true;
      const { revision, digest } = message;
      socket.send(JSON.stringify({ type: "ack", epoch, revision, digest, applyMs: 0 }));
      socket.close(1000);
    });
    socket.once("error", reject);
    socket.once("close", (code) => (isDone ? resolve() : reject(new Error(`the feed closed with ${code}`))));
  });
}
