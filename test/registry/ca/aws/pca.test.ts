import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { asError } from "../../../../lib/as-error.ts";
import { systemClock } from "../../../../lib/clock.ts";
import { openAuthorities } from "../../../../registry/ca/authorities.ts";
import { awsParts } from "../../../../registry/ca/aws/api.ts";
import { Pca } from "../../../../registry/ca/aws/pca.ts";
import { pcaKeys } from "../../../../registry/ca/aws/pca-keys.ts";
import { crlEntries, signCrl } from "../../../../registry/ca/crl.ts";
import { makeCsr, parseCsr } from "../../../../registry/ca/csr.ts";
import { makePki } from "../../../../registry/ca/files.ts";
import { issuerOf } from "../../../../registry/ca/issuer-of.ts";
import { KeyError } from "../../../../registry/ca/key-error.ts";
import { generateKey } from "../../../../registry/ca/signer.ts";
import { isSignerUnavailable } from "../../../../registry/ca/signer-unavailable.ts";
import { AwsDouble } from "../../../aws/double.ts";
import { FakePca, type PrivateCa } from "../../../aws/pca.ts";
import { opensslFolder } from "../openssl.ts";

const NOW = Date.now();
const HOUR_MS = 3_600_000;

describe("AWS Private CA as the device CA", () => {
  let service: FakePca;
  let double: AwsDouble;
  let folder: string;
  beforeEach(async () => {
    service = new FakePca();
    double = await AwsDouble.start(service);
    folder = mkdtempSync(join(tmpdir(), "entityos-pca-"));
  });
  afterEach(async () => {
    await double[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const listOf = ({ arn }: PrivateCa) => `/crl/${arn.split("/")[1]}.crl`;
  const pcaOf = (ca: PrivateCa) =>
    new Pca(awsParts(double.environment, systemClock), { arn: ca.arn, list: double.endpoint + listOf(ca) }, double.endpoint);
  const keysOf = (...cas: readonly PrivateCa[]) =>
    pcaKeys(
      (name) => new Pca(awsParts(double.environment, systemClock), name, double.endpoint),
      cas.map((ca) => ({ arn: ca.arn, list: double.endpoint + listOf(ca) })),
    );
  const init = (...cas: readonly PrivateCa[]) => makePki(folder, NOW, "P-256", keysOf(...cas));
  const open = (...cas: readonly PrivateCa[]) => openAuthorities(folder, "https://register.example", keysOf(...cas));
  const request = async (kind: "P-256" | "Ed25519" = "P-256") => parseCsr(await makeCsr(generateKey(kind).signer, "whatever"));
  const refusal = async (doing: Promise<unknown>): Promise<Error> => {
    const error = await doing.then(
      () => new Error("nothing was refused"),
      (reason: unknown) => reason,
    );
    return asError(error);
  };

  it("gets its certificate from this registry's root, under its own name, and keeps it when init runs once more", async () => {
    const ca = await service.create("Example devices");
    await init(ca);
    expect(ca.status).to.equal("ACTIVE");
    expect(open(ca).all.map(({ name }) => name)).to.include("Example devices");
    expect(readFileSync(join(folder, "device.key"), "utf8")).to.match(new RegExp(`^${ca.arn}\n`));
    const before = readFileSync(join(folder, "device.crt"), "utf8");
    expect(await init(ca)).to.deep.equal([]);
    // Killed after the service had it and before it was written here: what the service has is taken.
    rmSync(join(folder, "device.crt"));
    await init(ca);
    expect(readFileSync(join(folder, "device.crt"), "utf8")).to.equal(before);
    expect(double.done.filter((operation) => operation.startsWith("Import"))).to.have.length(1);
  });

  it("is refused with all that is wrong with it, and when it is somebody else's already", async () => {
    const ca = await service.create("Example", { type: "ROOT", crlType: "PARTITIONED", status: "DISABLED" });
    const error = await refusal(init(ca));
    expect(error).to.be.an.instanceOf(KeyError);
    expect(error.message).to.equal(
      `Cannot use ${ca.arn} as the device CA: it is of type ROOT, and has to be SUBORDINATE; ` +
        "it has to write one complete list of revoked certificates (CrlConfiguration); it is DISABLED.",
    );
    const taken = await service.create("Taken");
    await init(taken);
    rmSync(folder, { recursive: true });
    expect((await refusal(init(taken))).message).to.include("it has a certificate of another root already");
  });

  it("is rotated to the next one that is named", async () => {
    const [first, second] = [await service.create("First"), await service.create("Second")];
    await init(first, second);
    const authorities = open(first, second);
    const next = await authorities.makeNext("device", NOW);
    expect([next.name, second.status, next.issuer]).to.deep.equal(["Second", "ACTIVE", null]);
    expect((await refusal(authorities.makeNext("device", NOW))).message).to.include("name one more in ca.signer.authorities");
  });

  it("takes the place of a key in a file by a rotation: init leaves the file's CA as it is, and its certificates and list go on", async () => {
    await makePki(folder, NOW);
    const [rootKey, deviceKey] = ["root.key", "device.key"].map((name) => readFileSync(join(folder, name), "utf8"));
    rmSync(join(folder, "root.key"));
    const ca = await service.create("Example devices");
    expect(await init(ca)).to.deep.equal([]);
    const before = open(ca);
    const names = ({ all }: typeof before) =>
      all.flatMap(({ kind, name }) => (kind === "device" ? [name.replace(/ [0-9a-f]{8}$/, "")] : []));
    expect([names(before), ca.status]).to.deep.equal([["entityOS device CA"], "PENDING_CERTIFICATE"]);
    writeFileSync(join(folder, "root.key"), rootKey ?? "");
    const next = await before.makeNext("device", NOW);
    expect([next.name, ca.status, readFileSync(join(folder, "device.key"), "utf8")]).to.deep.equal([
      "Example devices",
      "ACTIVE",
      deviceKey,
    ]);
    expect(readFileSync(join(folder, `${next.id}.key`), "utf8")).to.match(new RegExp(`^${ca.arn}\n`));
    const after = open(ca);
    expect(names(after)).to.have.members(["entityOS device CA", "Example devices"]);
    const old = after.all.find(({ kind, service: aws }) => kind === "device" && aws === null)?.issuer;
    if (old == null) throw new Error("the CA of the file signs no longer");
    expect((await signCrl(old, { number: 2, thisUpdate: NOW, nextUpdate: NOW + HOUR_MS }, [])).length).to.be.greaterThan(0);
  });

  it("makes nothing that is used when it makes something else than it was asked for", async () => {
    const ca = await service.create("Example");
    await init(ca);
    ca.bend = (names) => [...names, { kind: "dns", value: "control.example" }];
    const error = await refusal(open(ca).device?.issue(await request(), "id", HOUR_MS, NOW) ?? Promise.resolve());
    expect(error.message).to.equal("The CA's service made another certificate than it was asked for: it has other names");
  });

  it("refuses keys that it does not know, and says so to the device", async () => {
    const ca = await service.create("Example");
    await init(ca);
    const error = await refusal(open(ca).device?.issue(await request("Ed25519"), "id", HOUR_MS, NOW) ?? Promise.resolve());
    expect(error).to.deep.include({ status: 422, code: "csr_key_type" });
  });

  it("makes one certificate when the answer to the first request was lost", async () => {
    const ca = await service.create("Example");
    await init(ca);
    const { device } = open(ca);
    double.arrived = async (operation) => {
      if (operation !== "IssueCertificate") return;
      double.arrived = async () => {};
      double.faults.push({ kind: "lost" });
    };
    await device?.issue(await request(), "id", HOUR_MS, NOW);
    expect([ca.issued.size, double.seen.filter((operation) => operation === "IssueCertificate").length]).to.deep.equal([1, 2]);
  });

  it("is told of a revocation once, and again without harm", async () => {
    const ca = await service.create("Example");
    await init(ca);
    const issued = await open(ca).device?.issue(await request(), "id", HOUR_MS, NOW);
    const pca = pcaOf(ca);
    for (let times = 0; times < 2; times++) await pca.revoke(issued?.serial ?? "", "keyCompromise");
    expect([...ca.revoked]).to.deep.equal([[issued?.serial, "keyCompromise"]]);
    // One that it never made is in no list of its: there is nothing to do.
    await pca.revoke("0abc", "unspecified");
    expect(pca.failingSince).to.equal(null);
  });

  it("has its list read from its bucket, believed only with its signature, and as long as it likes", async () => {
    const ca = await service.create("Example");
    await init(ca);
    const pca = pcaOf(ca);
    expect(await pca.list()).to.equal(null);
    for (let number = 1; number <= 20_000; number++) ca.revoked.set((0x10_0000 + number).toString(16), "superseded");
    const der = await service.list(ca, NOW);
    double.objects.set(listOf(ca), der);
    expect(await pca.list()).to.deep.include({ number: NOW, thisUpdate: Math.floor((NOW - HOUR_MS) / 1_000) * 1_000 });
    using openssl = opensslFolder();
    const file = openssl.write("list.crl", der);
    expect(
      openssl.runBoth("crl", "-inform", "DER", "-in", file, "-CAfile", openssl.write("ca.pem", ca.certificate ?? ""), "-noout"),
    ).to.include("verify OK");
    const foreign = generateKey().signer;
    const facts = { number: NOW + 1, thisUpdate: NOW, nextUpdate: NOW + HOUR_MS };
    const entries = [crlEntries([{ serial: "0a", revokedAt: NOW, reason: "unspecified" }])];
    const partition = Buffer.from(der);
    partition[partition.length - 1] = (partition[partition.length - 1] ?? 0) ^ 1;
    for (const bad of [
      await signCrl(issuerOf(ca.certificate ?? "", foreign), facts, entries),
      partition,
      Buffer.from("<Error/>"),
      der.subarray(0, 100),
    ]) {
      double.objects.set(listOf(ca), bad);
      expect(isSignerUnavailable(await refusal(pca.list()))).to.equal(true);
      expect(pca.failingSince).to.be.a("number");
    }
  });
});
