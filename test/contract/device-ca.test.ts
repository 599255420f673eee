import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { openAuthorities } from "../../registry/ca/authorities.ts";
import { awsParts } from "../../registry/ca/aws/api.ts";
import { Kms } from "../../registry/ca/aws/kms.ts";
import { kmsKeys } from "../../registry/ca/aws/kms-keys.ts";
import { Pca } from "../../registry/ca/aws/pca.ts";
import { pcaKeys } from "../../registry/ca/aws/pca-keys.ts";
import { makePki } from "../../registry/ca/files.ts";
import { FILE_KEYS, type KeyStore } from "../../registry/ca/signer.ts";
import { AwsDouble, type Service } from "../aws/double.ts";
import { FakeKms } from "../aws/kms.ts";
import { FakePca } from "../aws/pca.ts";
import { CONTRACT_NOW, deviceCaContract, type OpenedDeviceCa } from "./device-ca.contract.ts";

const folder = mkdtempSync(join(tmpdir(), "entityos-device-ca-"));
const doubles: AwsDouble[] = [];
after(async () => {
  for (const double of doubles) await double[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** As `init` makes it and `serve` opens it. */
async function opened(keys: KeyStore): Promise<OpenedDeviceCa> {
  const pki = mkdtempSync(join(folder, "pki-"));
  await makePki(pki, CONTRACT_NOW, "P-256", keys);
  const { device: ca } = openAuthorities(pki, "https://register.example", keys);
  if (ca === null) throw new Error("no device CA");
  return { ca, root: readFileSync(join(pki, "root.crt"), "utf8") };
}

async function doubleOf(service: Service) {
  const double = await AwsDouble.start(service);
  doubles.push(double);
  return { parts: awsParts(double.environment, systemClock), endpoint: double.endpoint };
}

deviceCaContract("a key in a file", ["P-256", "P-384", "Ed25519"], () => opened(FILE_KEYS));

deviceCaContract("a key of AWS KMS", ["P-256", "P-384", "Ed25519"], async () => {
  const service = new FakeKms();
  const { parts, endpoint } = await doubleOf(service);
  return opened(kmsKeys(new Kms(parts, endpoint), { root: [], infrastructure: [], device: [service.create().arn] }));
});

deviceCaContract("AWS Private CA", ["P-256", "P-384"], async () => {
  const service = new FakePca();
  const { parts, endpoint } = await doubleOf(service);
  const { arn } = await service.create("Example devices");
  return opened(pcaKeys((name) => new Pca(parts, name, endpoint), [{ arn, list: `${endpoint}/crl/1.crl` }]));
});
