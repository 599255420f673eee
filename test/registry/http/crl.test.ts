import { createHash } from "node:crypto";
import { expect } from "chai";
import { readCrlDer } from "../../../registry/store/crls.ts";
import { testAuthorities } from "../process/authorities.ts";
import { Harness } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

describe("GET /v1/crl/{ca}.der", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  let process: AsyncDisposable;
  let ca: string;
  before(async () => {
    harness = await Harness.open();
    const authorities = await testAuthorities();
    ca = authorities.device.id;
    process = await harness.process([], authorities);
    register = await RegisterUnderTest.start(harness);
  });
  after(async () => {
    await register[Symbol.asyncDispose]();
    await process[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });
  const get = (path: string, headers: Record<string, string> = {}) => register.send("GET", path, { headers });

  it("hands out the newest list, with what a cache needs to know of it", async () => {
    const der = Buffer.from((await harness.rows((db) => readCrlDer(db, { ca }))) ?? []);
    const { status, headers, bytes } = await get(`/v1/crl/${ca}.der`);
    expect([status, headers["content-type"], headers["cache-control"]]).to.deep.equal([200, "application/pkix-crl", "public, max-age=60"]);
    expect(bytes.equals(der)).to.equal(true);
    expect(headers.etag).to.equal(`"${createHash("sha256").update(der).digest("hex")}"`);
    expect(Date.parse(String(headers["last-modified"]))).to.be.lessThan(Date.now());
  });

  it("says 304 to who has it, by ETag before time", async () => {
    const { headers } = await get(`/v1/crl/${ca}.der`);
    const [etag, modified] = [String(headers.etag), String(headers["last-modified"])];
    const asked: readonly [Record<string, string>, number][] = [
      [{ "if-none-match": etag }, 304],
      [{ "if-none-match": `"other", W/${etag}` }, 304],
      [{ "if-none-match": "*" }, 304],
      [{ "if-none-match": '"other"' }, 200],
      [{ "if-none-match": '"other"', "if-modified-since": modified }, 200],
      [{ "if-modified-since": modified }, 304],
      [{ "if-modified-since": new Date(Date.parse(modified) - 1_000).toUTCString() }, 200],
      [{ "if-modified-since": "yesterday" }, 200],
    ];
    for (const [sent, expected] of asked) {
      const { status, bytes } = await get(`/v1/crl/${ca}.der`, sent);
      expect([status, bytes.length > 0], JSON.stringify(sent)).to.deep.equal([expected, expected === 200]);
    }
  });

  it("knows no other name", async () => {
    for (const path of [`/v1/crl/${ca}`, "/v1/crl/device-00000000.der", "/v1/crl/..%2f..%2fx.der", `/v1/crl/${ca.toUpperCase()}.der`]) {
      const { status, body } = await get(path);
      expect([status, body.code], path).to.deep.equal([404, "not_found"]);
    }
    expect((await register.send("POST", `/v1/crl/${ca}.der`)).status).to.equal(405);
  });
});
