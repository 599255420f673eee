import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { systemClock } from "../../../../lib/clock.ts";
import { openAuthorities } from "../../../../registry/ca/authorities.ts";
import { awsParts } from "../../../../registry/ca/aws/api.ts";
import { Kms } from "../../../../registry/ca/aws/kms.ts";
import { type KmsNames, kmsKeys } from "../../../../registry/ca/aws/kms-keys.ts";
import { makePki } from "../../../../registry/ca/files.ts";
import { KeyError } from "../../../../registry/ca/key-error.ts";
import { loadSigner } from "../../../../registry/ca/signer.ts";
import { AwsDouble } from "../../../aws/double.ts";
import { FakeKms } from "../../../aws/kms.ts";
import { opensslFolder } from "../openssl.ts";

const NOW = Date.UTC(2026, 10, 24);
const URL = "https://register.example";

describe("the CAs' keys in AWS KMS", () => {
  let service: FakeKms;
  let double: AwsDouble;
  let folder: string;
  beforeEach(async () => {
    service = new FakeKms();
    double = await AwsDouble.start(service);
    folder = mkdtempSync(join(tmpdir(), "entityos-kms-"));
  });
  afterEach(async () => {
    await double[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const store = (names: Partial<KmsNames>) =>
    kmsKeys(new Kms(awsParts(double.environment, systemClock), double.endpoint), { root: [], infrastructure: [], device: [], ...names });
  const arns = (count: number) => Array.from({ length: count }, () => service.create().arn);
  const file = (name: string) => readFileSync(join(folder, name), "utf8");
  const refusal = async (doing: () => unknown): Promise<string> => {
    try {
      await doing();
    } catch (error) {
      if (error instanceof KeyError) return error.message;
      throw error;
    }
    throw new Error("nothing was refused");
  };

  it("are named by the files alone: no private key comes to the disk, and openssl believes the chain and the root's list", async () => {
    const [root = "", infrastructure = ""] = arns(2);
    const device = service.create("ECC_NIST_P384").arn;
    const keys = store({ root: [root], infrastructure: [infrastructure], device: [device] });
    await makePki(folder, NOW, "P-256", keys);
    for (const [name, arn] of [
      ["root", root],
      ["infrastructure", infrastructure],
      ["device", device],
    ] as const)
      expect(file(`${name}.key`)).to.match(new RegExp(`^${arn}\n-----BEGIN PUBLIC KEY-----\n[^-]+-----END PUBLIC KEY-----\n$`));
    expect(readdirSync(folder).filter((name) => file(name).includes("PRIVATE"))).to.deep.equal([]);
    using openssl = opensslFolder();
    for (const name of ["infrastructure", "device"])
      openssl.run("verify", "-x509_strict", "-CAfile", join(folder, "root.crt"), join(folder, `${name}.crt`));
    expect(
      openssl.runBoth("crl", "-inform", "DER", "-in", join(folder, "root.crl"), "-CAfile", join(folder, "root.crt"), "-noout"),
    ).to.include("verify OK");
    expect(await makePki(folder, NOW, "P-256", keys)).to.deep.equal([]);
  });

  it("are opened without asking anybody, so that a registry starts while KMS is away", async () => {
    const keys = store({ device: arns(1) });
    await makePki(folder, NOW, "P-256", keys);
    double.standing = { kind: "cut" };
    double.seen.length = 0;
    openAuthorities(folder, "https://register.example", keys);
    expect(openAuthorities(folder, URL, keys).device?.id).to.match(/^device-/);
    expect(double.seen).to.deep.equal([]);
  });

  it("are taken in their order, one for each rotation, and told when there is none left", async () => {
    const device = arns(2);
    const keys = store({ device });
    await makePki(folder, NOW, "P-256", keys);
    const authorities = openAuthorities(folder, URL, keys);
    const { id } = await authorities.makeNext("device", NOW);
    expect([file("device.key").split("\n")[0], file(`${id}.key`).split("\n")[0]]).to.deep.equal(device);
    expect(await refusal(() => authorities.makeNext("device", NOW))).to.equal(
      "There is no key for the next CA: name one more in ca.signer.device and restart.",
    );
    // What ended is never taken again.
    authorities.remove(authorities.device?.id ?? "");
    expect(await refusal(() => authorities.makeNext("device", NOW))).to.include("There is no key for the next CA");
  });

  it("are taken all the same after a registry was killed between a root's key file and its certificate", async () => {
    const root = arns(2);
    const keys = store({ root });
    await makePki(folder, NOW, "P-256", keys);
    const { id } = await openAuthorities(folder, URL, keys).makeNext("root", NOW);
    rmSync(join(folder, `${id}.crt`));
    const next = await openAuthorities(folder, URL, keys).makeNext("root", NOW);
    expect(file(`${next.id}.key`).split("\n")[0]).to.equal(root[1]);
  });

  it("take the place of keys in files by a rotation", async () => {
    await makePki(folder, NOW);
    const keys = store({ device: arns(1) });
    const authorities = openAuthorities(folder, URL, keys);
    const next = await authorities.makeNext("device", NOW);
    expect(file("device.key")).to.include("PRIVATE KEY");
    expect(file(`${next.id}.key`)).to.match(/^arn:/);
    expect(new X509Certificate(next.certificate).verify(new X509Certificate(file("root.crt")).publicKey)).to.equal(true);
  });

  it("are refused when they are of another kind, are not named by the configuration, or the configuration says file", async () => {
    const rsa = service.create("RSA_2048").arn;
    expect(await refusal(() => makePki(folder, NOW, "P-256", store({ device: [rsa] })))).to.equal(
      `Cannot sign with ${rsa}: it is a key of kind 'RSA_2048' for 'SIGN_VERIFY', and has to be ECC_NIST_P256 or ECC_NIST_P384 for SIGN_VERIFY.`,
    );
    const [arn = "", other = ""] = arns(2);
    await makePki(folder, NOW, "P-256", store({ device: [arn] }));
    const key = join(folder, "device.key");
    expect(await refusal(() => loadSigner(key, store({ device: [other] })))).to.equal(
      `Cannot use ${key} as a private key: it names ${arn}, which ca.signer does not`,
    );
    expect(await refusal(() => loadSigner(key))).to.equal(
      `Cannot use ${key} as a private key: it names ${arn}, and ca.signer.kind is file`,
    );
    writeFileSync(key, `${arn}\nnonsense`);
    expect(await refusal(() => loadSigner(key, store({ device: [arn] })))).to.include("neither a private key nor the name of one");
  });

  it("sign nothing that the CA's own public key does not verify", async () => {
    const [arn = "", other = ""] = arns(2);
    const kms = new Kms(awsParts(double.environment, systemClock), double.endpoint);
    const signer = kms.signer(arn, await kms.publicKey(other));
    expect(signer.failingSince).to.equal(null);
    const error = await signer.sign(Buffer.from("text")).catch((reason: unknown) => reason);
    expect(error).to.deep.include({ code: "signer_unavailable", status: 503 });
    expect(signer.failingSince).to.be.a("number");
  });

  it("tell why they do not sign: to the log, not to whoever asked", async () => {
    const key = service.create();
    const kms = new Kms(awsParts(double.environment, systemClock), double.endpoint);
    const signer = kms.signer(key.arn, await kms.publicKey(key.arn));
    key.state = "PendingDeletion";
    const error = await signer.sign(Buffer.from("text")).catch((reason: unknown) => reason);
    expect(JSON.stringify(error)).not.to.include("arn:");
    expect(String(error instanceof Error && error.cause)).to.include("KMSInvalidStateException");
    key.state = "Enabled";
    await signer.sign(Buffer.from("text"));
    expect(signer.failingSince).to.equal(null);
  });
});
