import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** The instance metadata service, version 2: a token by PUT, then the role and its credentials; without a token 401 (EC2 user guide). */
export class FakeImds implements AsyncDisposable {
  /** What it says; null: it answers every request with 500. */
  credentials: { readonly id: string; readonly secret: string; readonly token: string; readonly endsAt: number } | null = null;
  /** False: the host may not ask (HttpEndpoint disabled). */
  enabled = true;
  readonly seen: string[] = [];
  readonly #token = randomBytes(24).toString("base64url");
  readonly #server = createServer((request, response) => {
    this.seen.push(`${request.method} ${request.url}`);
    const answer = (status: number, text = "") => response.writeHead(status).end(text);
    if (!this.enabled) return answer(403);
    if (this.credentials === null) return answer(500);
    if (request.method === "PUT" && request.url === "/latest/api/token")
      return request.headers["x-aws-ec2-metadata-token-ttl-seconds"] === undefined ? answer(400) : answer(200, this.#token);
    if (request.headers["x-aws-ec2-metadata-token"] !== this.#token) return answer(401);
    if (request.url === "/latest/meta-data/iam/security-credentials/") return answer(200, "registry-role");
    if (request.url !== "/latest/meta-data/iam/security-credentials/registry-role") return answer(404);
    const { id, secret, token, endsAt } = this.credentials;
    const Expiration = new Date(endsAt).toISOString();
    return answer(200, JSON.stringify({ Code: "Success", AccessKeyId: id, SecretAccessKey: secret, Token: token, Expiration }));
  });

  static async start(): Promise<FakeImds> {
    const imds = new FakeImds();
    await new Promise<void>((resolve) => imds.#server.listen(0, "127.0.0.1", resolve));
    return imds;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}
