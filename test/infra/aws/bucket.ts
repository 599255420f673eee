import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();

/** Credentials that the double's metadata gives out. */
export const CREDENTIALS = { AccessKeyId: "AKIDEXAMPLE", SecretAccessKey: "se/cr+et", Token: "session==" };
const ROLE = "web-1-role";
const METADATA_TOKEN = "metadata-token";

export interface Double extends AsyncDisposable {
  readonly url: string;
  /** By path; what is below /debian/ is for everybody, as a mirror is. */
  readonly objects: Map<string, Buffer>;
  /** Secrets Manager's, by ARN. */
  readonly secrets: Map<string, string>;
  /** ARNs of the secrets that were given out. */
  readonly read: string[];
  readonly refused: string[];
  /** Who asks its metadata. */
  instance: string;
}

/**
 * A bucket, Secrets Manager, instance metadata (IMDSv2) and a mirror at one address: answers only what is signed by the credentials
 * that it gave out (SigV4).
 */
export async function startDouble(
  { address, port }: { address: string; port: number } = { address: "127.0.0.1", port: 0 },
): Promise<Double> {
  const held: Held = { objects: new Map(), secrets: new Map(), read: [], refused: [], instance: "i-0123456789abcdef0" };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { status, body } = answer(request, Buffer.concat(chunks), held);
    if (status >= 400) held.refused.push(`${status} ${request.method} ${request.url}`);
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  return Object.assign(held, {
    url: `http://${address}:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  });
}

type Held = Omit<Double, "url" | typeof Symbol.asyncDispose>;

interface Answer {
  readonly status: number;
  readonly body?: string | Buffer;
}

function answer(request: IncomingMessage, body: Buffer, { objects, secrets, read, instance }: Held): Answer {
  const asked = request.url ?? "";
  const url = asked.startsWith("/debian/") ? asked : keyOf(asked);
  if (url === "/latest/api/token") return request.method === "PUT" ? { status: 200, body: METADATA_TOKEN } : { status: 405 };
  if (url.startsWith("/latest/meta-data/")) {
    if (request.headers["x-aws-ec2-metadata-token"] !== METADATA_TOKEN) return { status: 401 };
    if (url.endsWith("/instance-id")) return { status: 200, body: instance };
    if (url.endsWith("/iam/security-credentials/")) return { status: 200, body: ROLE };
    return url.endsWith(`/${ROLE}`) ? { status: 200, body: JSON.stringify({ Code: "Success", ...CREDENTIALS }, null, 2) } : { status: 404 };
  }
  if (!url.startsWith("/debian/") && !isSigned(request, body)) return { status: 403 };
  if (request.headers["x-amz-target"] === "secretsmanager.GetSecretValue") {
    const { SecretId } = JSON.parse(body.toString()) as { SecretId: string };
    const SecretString = secrets.get(SecretId);
    if (SecretString !== undefined) read.push(SecretId);
    return SecretString === undefined ? { status: 400 } : { status: 200, body: JSON.stringify({ ARN: SecretId, SecretString }) };
  }
  if (request.method === "PUT") {
    objects.set(url, body);
    return { status: 200 };
  }
  const object = objects.get(url);
  return object === undefined ? { status: 404 } : { status: 200, body: object };
}

/** As S3 reads a path: a plus sign that is not escaped is a blank. */
const keyOf = (path: string): string => decodeURIComponent(path.replaceAll("+", " "));
const pathOf = (key: string): string => key.split("/").map(encodeURIComponent).join("/");

/** Signature Version 4 with the payload's hash among what is signed, as S3 asks for. */
function isSigned({ method, url, headers }: IncomingMessage, body: Buffer): boolean {
  const said =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8}\/([\w-]+)\/(\w+)\/aws4_request), SignedHeaders=([\w;-]+), Signature=(\w+)$/.exec(
      headers.authorization ?? "",
    );
  const [, id, scope = "", region = "", service = "", names = "", signature] = said ?? [];
  const payload = sha256(body);
  const told = headers["x-amz-content-sha256"];
  if (id !== CREDENTIALS.AccessKeyId || headers["x-amz-security-token"] !== CREDENTIALS.Token) return false;
  if (service === "s3" && told !== payload) return false;
  const lines = names.split(";").map((name) => `${name}:${String(headers[name] ?? "").trim()}\n`);
  const canonical = [method, pathOf(keyOf(url ?? "")), "", ...[lines.join("")], names, payload].join("\n");
  const text = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical)].join("\n");
  const key = [scope.slice(0, 8), region, service, "aws4_request"].reduce<Buffer>(
    (last, part) => hmac(last, part),
    Buffer.from(`AWS4${CREDENTIALS.SecretAccessKey}`),
  );
  return hmac(key, text).toString("hex") === signature;
}
