import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { references, resourcesOf } from "../../../infra/aws/synthesis.ts";
import { systemClock } from "../../../lib/clock.ts";
import { openAuthorities } from "../../../registry/ca/authorities.ts";
import { awsParts } from "../../../registry/ca/aws/api.ts";
import { Pca } from "../../../registry/ca/aws/pca.ts";
import { pcaKeys } from "../../../registry/ca/aws/pca-keys.ts";
import { makePki } from "../../../registry/ca/files.ts";
import { parseRegistryConfig } from "../../../registry/config.ts";
import { AwsDouble } from "../../aws/double.ts";
import { FakePca } from "../../aws/pca.ts";
import { ref } from "./mutation.ts";
import { synthesised } from "./synthesised.ts";

describe("an environment whose device CA is AWS Private CA", function () {
  this.timeout(180_000);
  const own = () => synthesised("private-ca");
  const one = (part: string, type: string, id: string) => {
    const found = resourcesOf(own(), type).find((resource) => resource.part === part && resource.id === id);
    if (found === undefined) throw new Error(`There is no ${part} ${type}.${id}`);
    return found.fields;
  };
  const statements = (part: string, type: string, id: string) =>
    (JSON.parse(String(one(part, type, id).policy)) as { Statement: { Sid: string; Action: string[]; Condition?: unknown }[] }).Statement;

  it("makes a CA that registries take as it is, and no key of a device CA", () => {
    const { type, usage_mode, certificate_authority_configuration, revocation_configuration } = one(
      "pki",
      "aws_acmpca_certificate_authority",
      "device-ca",
    );
    expect({ type, usage_mode, certificate_authority_configuration }).to.deep.equal({
      type: "SUBORDINATE",
      usage_mode: "GENERAL_PURPOSE",
      certificate_authority_configuration: {
        key_algorithm: "EC_prime256v1",
        signing_algorithm: "SHA256WITHECDSA",
        subject: { organization: "Example", common_name: "entityOS device CA private-ca" },
      },
    });
    expect(JSON.stringify(revocation_configuration)).to.match(/"enabled":true.*"s3_object_acl":"BUCKET_OWNER_FULL_CONTROL"/);
    const made = resourcesOf(own(), "tls_private_key", "aws_secretsmanager_secret").map(({ id }) => id);
    expect(made.sort()).to.deep.equal(["infrastructure-key", "infrastructure-secret", "root-key", "root-secret"]);
  });

  it("lets the registry alone ask it, for certificates of one template, and for the CA's own only while the root is at hand", () => {
    const said = statements("registry", "aws_iam_role_policy", "registry-own-policy");
    expect(said.filter(({ Action }) => Action.some((action) => action.startsWith("acm-pca:"))).map(({ Action }) => Action)).to.deep.equal([
      [
        "acm-pca:DescribeCertificateAuthority",
        "acm-pca:GetCertificateAuthorityCertificate",
        "acm-pca:GetCertificate",
        "acm-pca:RevokeCertificate",
        "acm-pca:GetCertificateAuthorityCsr",
        "acm-pca:ImportCertificateAuthorityCertificate",
      ],
      ["acm-pca:IssueCertificate"],
    ]);
    expect(said.find(({ Sid }) => Sid === "DeviceCertificates")?.Condition).to.deep.include({
      StringEquals: {
        "acm-pca:TemplateArn": "arn:aws:acm-pca:::template/BlankEndEntityCertificate_APIPassthrough/V1",
        "aws:userid": `${ref("aws_iam_role.registry-role.unique_id")}:${ref("aws_instance.registry.id")}`,
      },
    });
    const hosts = resourcesOf(own(), "aws_iam_role_policy").filter(({ part }) => part === "restricted");
    expect(JSON.stringify(hosts)).to.not.include("acm-pca");
  });

  it("gives the registry a configuration that it takes, and by which init has the CA's certificate signed by the root", async () => {
    const service = new FakePca();
    await using double = await AwsDouble.start(service);
    const folder = mkdtempSync(join(tmpdir(), "eos-private-ca-"));
    try {
      const ca = await service.create("entityOS device CA private-ca");
      const written = String(one("registry", "aws_instance", "registry").user_data);
      const [, rest = ""] = written.split("/dev/stdin /etc/entityos-registry/registry.yaml <<'END_OF_ENTITYOS_FILE'\n");
      const yaml = rest.slice(0, rest.indexOf("END_OF_ENTITYOS_FILE"));
      const named = references(own(), yaml);
      expect(named).to.include.members([
        "aws_acmpca_certificate_authority.device-ca.arn",
        "aws_s3_bucket.lists.bucket_regional_domain_name",
      ]);
      const known = yaml
        .replace(/arn: .*/, `arn: ${ca.arn}`)
        .replace(/list: https:\/\/.*\/crl\/.*\.crl/, `list: ${double.endpoint}/crl/${ca.arn.split("/")[1]}.crl`);
      const { signer } = parseRegistryConfig("registry.yaml", known).ca;
      if (signer.kind !== "acmPca") throw new Error(`the signer is ${signer.kind}`);
      const keys = pcaKeys((name) => new Pca(awsParts(double.environment, systemClock), name, double.endpoint), signer.authorities);
      await makePki(folder, Date.now(), "P-256", keys);
      expect(ca.status).to.equal("ACTIVE");
      expect(readFileSync(join(folder, "device.key"), "utf8")).to.match(new RegExp(`^${ca.arn}\n`));
      expect(openAuthorities(folder, "https://register.example", keys).all.map(({ name }) => name)).to.include(
        "entityOS device CA private-ca",
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
