import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** What the double knows of who may sign. */
export interface Known {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | null;
}

/** A request that AWS would not have looked at: its error's name and text. */
export class Refused extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const SKEW_MS = 5 * 60_000;
const sha256 = (data: Uint8Array | string): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();

/**
 * Checks a request as "Signature Version 4 for API requests" (IAM user guide) has it, written from that page and apart from what signs.
 * @throws Refused
 */
export function checkSignature(
  request: IncomingMessage,
  body: Buffer,
  expected: { readonly service: string; readonly region: string; readonly known: readonly Known[]; readonly now: number },
): void {
  const header = (name: string): string | undefined => request.headers[name]?.toString();
  const form =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/;
  const authorization = header("authorization");
  if (authorization === undefined) throw new Refused("MissingAuthenticationTokenException", "Missing Authentication Token");
  const [, id, day, region, service, signedHeaders = "", signature] = form.exec(authorization) ?? [];
  const date = header("x-amz-date") ?? "";
  if (id === undefined || !date.startsWith(`${day}T`))
    throw new Refused("IncompleteSignatureException", "Authorization header is malformed");
  if (service !== expected.service || region !== expected.region)
    throw new Refused("InvalidSignatureException", `Credential should be scoped to '${expected.region}', '${expected.service}'`);
  const signedAt = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (!(Math.abs(signedAt - expected.now) <= SKEW_MS)) throw new Refused("InvalidSignatureException", "Signature expired");
  const known = expected.known.find((one) => one.accessKeyId === id);
  if (known === undefined) throw new Refused("UnrecognizedClientException", "The security token included in the request is invalid.");
  if ((header("x-amz-security-token") ?? null) !== known.sessionToken)
    throw new Refused("UnrecognizedClientException", "The security token included in the request is invalid.");
  const names = signedHeaders.split(";");
  const needed = ["host", "content-type", ...Object.keys(request.headers).filter((name) => name.startsWith("x-amz-"))];
  const forgotten = needed.filter((name) => request.headers[name] !== undefined && !names.includes(name));
  if (forgotten.length > 0) throw new Refused("InvalidSignatureException", `not signed: ${forgotten.join()}`);
  const url = new URL(request.url ?? "/", "http://host");
  const query = [...url.searchParams].map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).sort();
  const path = url.pathname.split("/").map(encodeURIComponent).join("/");
  const canonical = [
    request.method,
    service === "s3" ? url.pathname : path,
    query.join("&"),
    ...names.map((name) => `${name}:${(header(name) ?? "").trim().replace(/ +/g, " ")}`),
    "",
    signedHeaders,
    sha256(body),
  ].join("\n");
  const text = ["AWS4-HMAC-SHA256", date, `${day}/${region}/${service}/aws4_request`, sha256(canonical)].join("\n");
  const key = hmac(hmac(hmac(hmac(`AWS4${known.secretAccessKey}`, day ?? ""), region ?? ""), service ?? ""), "aws4_request");
  if (hmac(key, text).toString("hex") !== signature)
    throw new Refused("InvalidSignatureException", "The request signature we calculated does not match the signature you provided.");
}
