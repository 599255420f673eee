import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { checkSignature, type Known, Refused } from "./sigv4.ts";

/** An operation's answer, or its error. */
export type Answer =
  | { readonly status: 200; readonly body: object | null }
  | { readonly status: number; readonly type: string; readonly message: string };

/** A service: its operations by name. What it is asked for came signed, and in the form of the protocol. */
export interface Service {
  readonly name: string;
  /** What stands before an operation's name in X-Amz-Target. */
  readonly target: string;
  readonly operations: Readonly<Record<string, (input: Readonly<Record<string, unknown>>) => Answer | Promise<Answer>>>;
}

/** What befalls the next request. */
export type Fault =
  | { readonly kind: "answer"; readonly status: number; readonly type: string }
  | { readonly kind: "cut" | "silent" | "garbage" | "flood" }
  /** It is done, and its answer is lost. */
  | { readonly kind: "lost" };

export const REGION = "eu-central-1";
const MAX_BODY_BYTES = 1 << 20;

/**
 * Services of AWS over HTTP on loopback, as their JSON protocol 1.1 has them: signatures, content type, target, errors and their names.
 * Faults are told to it one by one, or stand until they are taken away.
 */
export class AwsDouble implements AsyncDisposable {
  readonly known: Known[] = [
    { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", sessionToken: null },
  ];
  /** Objects of buckets, by path; read with the signature of "s3". */
  readonly objects = new Map<string, Buffer>();
  /** Befall the next requests, one each. */
  readonly faults: Fault[] = [];
  /** Befalls every request while it stands. */
  standing: Fault | null = null;
  /** Runs when a request came and before it is answered. */
  arrived: (operation: string) => Promise<void> = async () => {};
  /** Operations that were answered without a fault, and all that came. */
  readonly done: string[] = [];
  readonly seen: string[] = [];
  readonly #service: Service;
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch(() => response.destroy());
  });

  private constructor(service: Service) {
    this.#service = service;
  }

  static async start(service: Service, port = 0): Promise<AwsDouble> {
    const double = new AwsDouble(service);
    await new Promise<void>((resolve, reject) => {
      double.#server.once("error", reject);
      double.#server.listen(port, "127.0.0.1", resolve);
    });
    return double;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** As environment variables. */
  get environment(): Record<string, string> {
    const [first] = this.known;
    return { AWS_ACCESS_KEY_ID: first?.accessKeyId ?? "", AWS_SECRET_ACCESS_KEY: first?.secretAccessKey ?? "" };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    if (request.method === "GET") return this.#object(request, response);
    const [target = "", operation = ""] = (request.headers["x-amz-target"]?.toString() ?? "").split(".");
    this.seen.push(operation);
    await this.arrived(operation);
    const fault = this.faults.shift() ?? this.standing;
    if (fault !== null && fault.kind !== "lost") return befall(fault, response);
    const answer = await this.#answer(request, body, target, operation);
    if (answer.status === 200) this.done.push(operation);
    if (fault !== null) response.destroy();
    else send(response, answer);
  }

  async #object(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const operation = `GET ${request.url}`;
    this.seen.push(operation);
    await this.arrived(operation);
    const fault = this.faults.shift() ?? this.standing;
    if (fault !== null) return befall(fault, response);
    try {
      if (request.headers["x-amz-content-sha256"] === undefined) throw new Refused("InvalidRequest", "Missing required header");
      checkSignature(request, Buffer.alloc(0), { service: "s3", region: REGION, known: this.known, now: Date.now() });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      response.writeHead(403).end(`<Error><Code>${error.code}</Code></Error>`);
      return;
    }
    const object = this.objects.get(request.url ?? "");
    if (object === undefined) response.writeHead(404).end("<Error><Code>NoSuchKey</Code></Error>");
    else response.writeHead(200).end(object);
  }

  async #answer(request: IncomingMessage, body: Buffer, target: string, operation: string): Promise<Answer> {
    try {
      const { name, operations } = this.#service;
      checkSignature(request, body, { service: name, region: REGION, known: this.known, now: Date.now() });
      const run = Object.hasOwn(operations, operation) ? operations[operation] : undefined;
      if (request.method !== "POST" || request.url !== "/" || target !== this.#service.target || run === undefined)
        throw new Refused("UnknownOperationException", "");
      if (request.headers["content-type"] !== "application/x-amz-json-1.1") throw new Refused("SerializationException", "content type");
      return await run(inputOf(body));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { status: 400, type: error.code, message: error.message };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

function inputOf(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(body.toString("utf8")) as Record<string, unknown>;
  } catch {
    throw new Refused("SerializationException", "not JSON");
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new Error("too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, answer: Answer): void {
  const body = "body" in answer ? answer.body : { __type: answer.type, message: answer.message };
  response.writeHead(answer.status, { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": randomUUID() });
  response.end(body === null ? "" : JSON.stringify(body));
}

function befall(fault: Fault, response: ServerResponse): void {
  switch (fault.kind) {
    case "answer":
      send(response, { status: fault.status, type: fault.type, message: "Rate exceeded" });
      break;
    case "cut":
    case "lost":
      response.destroy();
      break;
    case "silent":
      break;
    case "garbage":
      response.writeHead(200, { "content-type": "text/html" }).end("<html>");
      break;
    case "flood":
      response.writeHead(200).end(Buffer.alloc(4 << 20, 32));
      break;
    default:
      fault satisfies never;
  }
}
