import { existsSync, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { claimLocalDoor } from "../../../registry/admin/door.ts";
import { EntranceError } from "../../../registry/admin/entrance.ts";
import { type Ask, type Identity, TestControl } from "./control.ts";

const PROFILE = { pattern: "ip" };

describe("a state change", () => {
  let control: TestControl;
  let operator: Identity;
  before(async () => {
    control = await TestControl.start();
    operator = await control.identity("operator", "alice");
  });
  after(() => control[Symbol.asyncDispose]());

  const put = async (over: "local" | "remote", ask: Ask) => {
    const full = { method: "PUT", body: PROFILE, ...ask };
    const reply =
      over === "local" ? await control.local("/v1/admin/profiles/p", full) : await control.remote("/v1/admin/profiles/p", operator, full);
    return `${reply.status} ${reply.body.code ?? "done"}`;
  };

  it("is made by a program over either way in", async () => {
    expect(await put("local", {})).to.equal("200 done");
    expect(await put("remote", {})).to.equal("200 done");
  });

  it("is made by the registry's own page", async () => {
    const own = `localhost:${control.port}`;
    const headers = { host: own, origin: `https://${own}`, "sec-fetch-site": "same-origin" };
    expect(await put("remote", { headers })).to.equal("200 done");
  });

  const refused: readonly [what: string, headers: Record<string, string>, code: string][] = [
    ["another site's page", { origin: "https://evil.example" }, "403 cross_site"],
    [
      "a page under a name that was bent to control",
      { origin: "https://evil.example", host: "evil.example", "sec-fetch-site": "same-origin" },
      "421 host_unknown",
    ],
    ["the same host by plain HTTP", { origin: "http://localhost", host: "localhost" }, "403 cross_site"],
    ["the same host on another port", { origin: "https://localhost:1", host: "localhost:1" }, "403 cross_site"],
    ["a page without an origin of its own", { origin: "null" }, "403 cross_site"],
    ["a page of the same site", { "sec-fetch-site": "same-site" }, "403 cross_site"],
    ["a page of another site that hides its origin", { "sec-fetch-site": "cross-site" }, "403 cross_site"],
    ["a link that was followed", { "sec-fetch-site": "none" }, "403 cross_site"],
    ["a form, without the header", { "entityos-request": "" }, "403 request_header"],
    ["a program that sends another value", { "entityos-request": "2" }, "403 request_header"],
    ["text that may be JSON", { "content-type": "text/plain" }, "415 media_type"],
    ["a form's encoding", { "content-type": "application/x-www-form-urlencoded" }, "415 media_type"],
    ["a form with files", { "content-type": "multipart/form-data; boundary=x" }, "415 media_type"],
  ];
  for (const [what, headers, code] of refused) {
    it(`is refused from ${what}: ${code}`, async () => {
      expect(await put("remote", { headers })).to.equal(code);
    });
  }

  it("is refused over the local socket from whatever has an origin", async () => {
    expect(await put("local", { headers: { origin: "https://localhost" } })).to.equal("403 cross_site");
  });

  it("is refused without the header for every method and path", async () => {
    const changes = [
      ["POST", "/codes"],
      ["DELETE", "/codes/AAAAAAAA"],
      ["PUT", "/profiles/p"],
      ["POST", "/devices/x/revoke"],
      ["POST", "/agents"],
      ["POST", "/certificates/server"],
      ["POST", "/certificates/operator"],
      ["POST", "/audit/verify"],
    ] as const;
    for (const [method, path] of changes) {
      const reply = await control.remote(`/v1/admin${path}`, operator, { method, body: {}, headers: { "entityos-request": "" } });
      expect(`${method} ${path} ${reply.status} ${reply.body.code}`).to.equal(`${method} ${path} 403 request_header`);
    }
  });

  it("gets no leave by CORS", async () => {
    const headers = { origin: "https://evil.example", "access-control-request-method": "PUT" };
    const reply = await control.remote("/v1/admin/profiles/p", operator, { method: "OPTIONS", headers });
    expect(reply.status).to.equal(404);
  });

  it("that is no JSON, too large or misshapen is refused without quoting it", async () => {
    const secret = "W3VT0XS4BM87HA72DNWGKCMHZBYW542MJ6Z";
    const broken = await control.local("/v1/admin/codes", { method: "POST", raw: `{"code": "${secret}` });
    expect([broken.status, broken.body.code]).to.deep.equal([400, "request_malformed"]);
    const large = await control.local("/v1/admin/codes", {
      method: "POST",
      raw: JSON.stringify({ code: secret, more: "x".repeat(70_000) }),
    });
    expect([large.status, large.body.code]).to.deep.equal([413, "request_size"]);
    const shape = await control.local("/v1/admin/codes", { method: "POST", body: { code: secret, selector: { secret } } });
    expect([shape.status, shape.body.code]).to.deep.equal([422, "request_invalid"]);
    expect(shape.type).to.equal("application/problem+json; charset=utf-8");
    expect(JSON.stringify([broken.body, large.body, shape.body, control.log.lines])).to.not.contain(secret);
  });

  it("under an address that cannot be read is a problem that quotes nothing, over either way in", async () => {
    const told = '{"type":"urn:entityos:problem:request_malformed"';
    for (const reply of [await control.local("/v1/admin/%zz"), await control.remote("/v1/admin/%zz", operator)]) {
      expect([reply.status, reply.type.split(";")[0], reply.body.code]).to.deep.equal([
        400,
        "application/problem+json",
        "request_malformed",
      ]);
      expect(reply.text).to.contain(told).and.not.contain("%zz");
    }
  });

  it("to nowhere is a problem too", async () => {
    const reply = await control.local("/v1/admin/nothing", { method: "POST", body: {} });
    expect([reply.status, reply.type, reply.body.code]).to.deep.equal([404, "application/problem+json; charset=utf-8", "not_found"]);
    expect((await control.local("/")).body.code).to.equal("not_found");
  });
});

describe("the local door", () => {
  let control: TestControl;
  before(async () => {
    control = await TestControl.start();
  });
  after(() => control[Symbol.asyncDispose]());

  it("is for its owner alone", () => {
    expect(lstatSync(control.socketPath).mode & 0o777).to.equal(0o600);
    expect(lstatSync(join(control.folder, "run")).mode & 0o777).to.equal(0o700);
  });

  it("is not taken from a registry that answers", async () => {
    const error = await claimLocalDoor({ runtimeDir: join(control.folder, "run") }).catch((reason) => reason);
    expect(error).to.be.an.instanceOf(EntranceError);
    expect(error.message).to.equal(`Cannot listen on ${control.socketPath}: another registry answers there.`);
    expect((await control.local("/v1/admin/status")).status).to.equal(200);
  });

  it("does not replace what is no socket", async () => {
    const runtimeDir = join(control.folder, "file");
    mkdirSync(runtimeDir);
    writeFileSync(join(runtimeDir, "control.sock"), "precious");
    const error = await claimLocalDoor({ runtimeDir }).catch((reason) => reason);
    expect(error.message).to.equal(`Cannot listen on ${runtimeDir}/control.sock: something that is no socket is there.`);
  });

  it("takes the place of a socket that nobody answers on, and is gone when closed", async () => {
    const runtimeDir = join(control.folder, "stale");
    mkdirSync(runtimeDir);
    const path = join(runtimeDir, "control.sock");
    const dead = createServer().listen(`${path}.dead`);
    await new Promise((resolve) => dead.once("listening", resolve));
    const { linkSync } = await import("node:fs");
    linkSync(`${path}.dead`, path);
    await new Promise((resolve) => dead.close(resolve));
    expect(existsSync(path)).to.equal(true);
    const door = await claimLocalDoor({ runtimeDir });
    expect(lstatSync(path).mode & 0o777).to.equal(0o600);
    await door[Symbol.asyncDispose]();
    expect(existsSync(path)).to.equal(false);
  });

  it("says that it is starting until there is somebody behind it", async () => {
    const runtimeDir = join(control.folder, "early");
    await using door = await claimLocalDoor({ runtimeDir });
    const { request } = await import("node:http");
    const reply = await new Promise<{ status: number; body: string }>((resolve, reject) => {
      const asked = request({ socketPath: door.path, path: "/v1/admin/status" }, (answer) => {
        let body = "";
        answer.on("data", (chunk) => {
          body += chunk;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
      });
      asked.on("error", reject);
      asked.end();
    });
    expect([reply.status, JSON.parse(reply.body).code]).to.deep.equal([503, "starting"]);
  });
});
