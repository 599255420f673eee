import { expect } from "chai";
import { createCredentials } from "../../../../registry/ca/aws/credentials.ts";
import { FakeImds } from "../../../aws/imds.ts";

const HOUR_MS = 3_600_000;

describe("credentials for AWS", () => {
  let imds: FakeImds;
  let now = Date.now();
  const clock = { now: () => now, monotonic: () => 0 };
  const given = (id: string, endsAt: number) => ({ id, secret: `secret of ${id}`, token: `token of ${id}`, endsAt });
  beforeEach(async () => {
    now = Date.now();
    imds = await FakeImds.start();
    process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = imds.endpoint;
  });
  afterEach(async () => {
    delete process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT;
    await imds[Symbol.asyncDispose]();
  });

  it("are the environment's where it has them, and then nobody is asked", async () => {
    const source = createCredentials({ AWS_ACCESS_KEY_ID: "AKID", AWS_SECRET_ACCESS_KEY: "s3cret", AWS_SESSION_TOKEN: "token" }, clock);
    expect(await source.current()).to.deep.equal({
      accessKeyId: "AKID",
      secretAccessKey: "s3cret",
      sessionToken: "token",
      endsAt: Infinity,
    });
    expect(imds.seen).to.deep.equal([]);
  });

  it("are the instance profile's by version 2, asked for once by many", async () => {
    imds.credentials = given("ASIA1", now + 6 * HOUR_MS);
    const source = createCredentials({ AWS_ACCESS_KEY_ID: "" }, clock);
    const [first] = await Promise.all(Array.from({ length: 20 }, () => source.current()));
    expect(first).to.deep.include({ accessKeyId: "ASIA1", secretAccessKey: "secret of ASIA1", sessionToken: "token of ASIA1" });
    expect(imds.seen).to.deep.equal([
      "PUT /latest/api/token",
      "GET /latest/meta-data/iam/security-credentials/",
      "GET /latest/meta-data/iam/security-credentials/registry-role",
    ]);
  });

  it("are renewed before their end; those that still count are used while no others are to be had", async () => {
    imds.credentials = given("ASIA1", now + HOUR_MS);
    const source = createCredentials({}, clock);
    const id = async () => (await source.current()).accessKeyId;
    expect(await id()).to.equal("ASIA1");
    imds.enabled = false;
    now += HOUR_MS - 4 * 60_000;
    expect(await id()).to.equal("ASIA1");
    // One that was refused a token asks again, by version 2, as if nothing had been.
    imds.enabled = true;
    imds.credentials = given("ASIA2", now + HOUR_MS);
    expect(await id()).to.equal("ASIA2");
  });

  it("are asked for anew once they were refused", async () => {
    imds.credentials = given("ASIA1", now + HOUR_MS);
    const source = createCredentials({}, clock);
    const first = await source.current();
    imds.credentials = given("ASIA2", now + HOUR_MS);
    source.refused(first);
    expect((await source.current()).accessKeyId).to.equal("ASIA2");
  });

  it("are none of version 1", async () => {
    imds.enabled = false;
    const source = createCredentials({}, clock);
    const error = await source.current().catch((reason: unknown) => reason);
    expect(error).to.be.an.instanceOf(Error);
    expect(imds.seen).to.deep.equal(["PUT /latest/api/token"]);
  });
});
