import { once } from "node:events";
import { connect as dialTcp } from "node:net";
import { connect } from "node:tls";
import { expect } from "chai";
import { waitFor } from "../../lab/wait.ts";
import { Harness } from "../process/harness.ts";
import { type Answer, RegisterUnderTest } from "./client.ts";

describe("the register role", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  beforeEach(async () => {
    harness = await Harness.open();
    register = await RegisterUnderTest.start(harness, { registrationsPerMinute: 5 });
  });
  afterEach(async () => {
    await register[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });
  const problem = ({ status, headers, body }: Answer) => [status, headers["content-type"], body.code, body.type];
  const told = (status: number, code: string) => [status, "application/problem+json", code, `urn:entityos:problem:${code}`];
  const json = { "content-type": "application/json" };

  it("tells a client its address, family and the registry's time", async () => {
    harness.now = 1_800_000_000_000;
    const { body } = await register.send("GET", "/v1/address");
    expect(body).to.deep.include({ family: 4, address: "127.0.0.1", time: 1_800_000_000_000 });
    expect(body).to.have.all.keys("family", "address", "time", "ticket");
    expect((await register.send("GET", "/v1/address", { host: "::1" })).body).to.deep.include({ family: 6, address: "::1" });
  });

  it("hands out the root to pin", async () => {
    expect((await register.send("GET", "/v1/ca.pem")).text).to.equal(register.ca);
  });

  it("is healthy while it runs, and ready while Storage answers", async () => {
    expect((await register.send("GET", "/readyz")).body).to.deep.equal({ status: "ready" });
    await harness.store[Symbol.asyncDispose]();
    expect(problem(await register.send("GET", "/readyz"))).to.deep.equal(told(503, "storage_unavailable"));
    expect((await register.send("GET", "/healthz")).body).to.deep.equal({ status: "ok" });
  });

  it("sends security headers, and no server's name", async () => {
    const { headers } = await register.send("GET", "/healthz");
    expect(headers).to.include({
      "content-security-policy": "default-src 'none';frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
    });
    expect(headers).not.to.have.any.keys("server", "x-powered-by", "access-control-allow-origin");
  });

  const refused: readonly [what: string, status: number, code: string, send: () => Promise<Answer>][] = [
    ["a path that is not there", 404, "not_found", () => register.send("GET", "/nothing")],
    ["a path that is no path", 400, "request_malformed", () => register.send("GET", "/%zz")],
    ["another method", 405, "method_not_allowed", () => register.send("GET", "/v1/registrations")],
    ["a preflight of a browser", 405, "method_not_allowed", () => register.send("OPTIONS", "/v1/registrations")],
    ["a method that changes what can only be read", 405, "method_not_allowed", () => register.send("DELETE", "/v1/address")],
    ["a body above 16 kB", 413, "request_size", () => register.post({ selector: "x".repeat(16_384) })],
    [
      "a form",
      415,
      "media_type",
      () => register.send("POST", "/v1/registrations", { body: "a=b", headers: { "content-type": "application/x-www-form-urlencoded" } }),
    ],
    [
      "text",
      415,
      "media_type",
      () => register.send("POST", "/v1/registrations", { body: "{}", headers: { "content-type": "text/plain" } }),
    ],
    ["broken JSON", 400, "request_malformed", () => register.send("POST", "/v1/registrations", { body: '{"selector":' })],
    [
      "JSON with a poisoned prototype",
      400,
      "request_malformed",
      () => register.send("POST", "/v1/registrations", { body: '{"__proto__":{}}' }),
    ],
    ["an empty body", 400, "request_malformed", () => register.send("POST", "/v1/registrations", { body: "", headers: json })],
    ["no body", 422, "request_invalid", () => register.send("POST", "/v1/registrations")],
  ];
  for (const [what, status, code, send] of refused) {
    it(`refuses ${what}: ${status} ${code}`, async () => {
      expect(problem(await send())).to.deep.equal(told(status, code));
    });
  }

  it("names the methods that it answers", async () => {
    expect((await register.send("GET", "/v1/registrations")).headers.allow).to.equal("POST");
    expect((await register.send("POST", "/healthz", { body: "{}" })).headers.allow).to.equal("GET, HEAD");
  });

  it("limits what one source may try, and tells when to come back; another source is not held up", async () => {
    for (let attempt = 0; attempt < 5; attempt++) expect((await register.post({})).status).to.equal(422);
    const answer = await register.post({});
    expect(problem(answer)).to.deep.equal(told(429, "rate_limited"));
    expect(Number(answer.headers["retry-after"])).to.be.within(1, 60);
    expect((await register.post({}, {}, "::1")).status).to.equal(422);
    expect((await register.post({}, {}, "127.0.0.2")).status).to.equal(429);
    expect((await register.send("GET", "/v1/address")).status).to.equal(200);
  });

  /** What the server says to bytes that no client library would send. */
  async function raw(bytes: string): Promise<string> {
    const socket = connect({ host: "127.0.0.1", port: register.port, ca: register.ca, servername: "localhost" });
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.end(bytes);
    await once(socket, "close");
    return Buffer.concat(chunks).toString();
  }

  it("answers what is no HTTP, and too long headers, with a problem too", async () => {
    expect(await raw("NONSENSE\r\n\r\n")).to.match(
      /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/problem\+json\r\n[\s\S]*"code":"http_invalid"/,
    );
    expect(await raw(`GET / HTTP/1.1\r\nHost: x\r\nA: ${"b".repeat(17_000)}\r\n\r\n`)).to.match(
      /^HTTP\/1\.1 431 [\s\S]*"code":"headers_too_large"/,
    );
  });

  it("closes what one source opens beyond 256 connections, unheard, and goes on serving the others", async () => {
    const dial = () => dialTcp({ host: "127.0.0.1", port: register.port });
    const held = Array.from({ length: 256 }, dial);
    await Promise.all(held.map((socket) => once(socket, "connect")));
    // Taken in order: when this one is closed, all before it have been counted.
    const one = dial();
    one.resume();
    await once(one, "close");
    expect(held.filter((socket) => socket.closed)).to.deep.equal([]);
    expect((await register.send("GET", "/healthz", { host: "::1" })).status).to.equal(200);
    const [first, ...others] = held;
    first?.destroy();
    await waitFor("a place", async () => (await register.send("GET", "/healthz").catch(() => null))?.status === 200 || undefined);
    for (const socket of others) socket.destroy();
  }).timeout(60_000);

  it("speaks no TLS older than 1.2", async () => {
    const socket = connect({
      host: "127.0.0.1",
      port: register.port,
      ca: register.ca,
      servername: "localhost",
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    const [error] = await once(socket, "error");
    expect(error)
      .to.have.property("code")
      .that.match(/ALERT_PROTOCOL_VERSION/);
    socket.destroy();
  });
});
