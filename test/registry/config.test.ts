import { expect } from "chai";
import { ConfigError } from "../../lib/config.ts";
import { parseRegistryConfig } from "../../registry/config.ts";

const problems = (text: string): readonly string[] => {
  try {
    parseRegistryConfig("registry.yaml", text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("nothing was refused");
};

describe("the registry's configuration", () => {
  it("needs a name and has these defaults", () => {
    expect(parseRegistryConfig("registry.yaml", "name: register.example")).to.deep.include({
      name: "register.example",
      stateDir: "/var/lib/entityos-registry",
      runtimeDir: "/run/entityos-registry",
      register: { address: "::", port: 443, names: ["localhost"], proxies: [], certificate: null, key: null, est: null },
      control: { address: "::", port: 8444, names: ["localhost"] },
      ca: { signer: { kind: "file" } },
      allowNetworks: [],
      feed: { heartbeatMs: 5000 },
    });
  });

  it("tells all problems together, each with its path", () => {
    const text = `
name: Register
register: { port: 0, names: [] }
control: { address: "" }
allowNetworks: [203.0.113.7/24, fe80::1%eth0]
feed: { heartbeatMs: 1 }
limits: { registrationsPerMinute: 0 }
`;
    expect(problems(text).map((problem) => problem.split(":")[0])).to.have.members([
      "name",
      "register.port",
      "register.names",
      "control.address",
      "allowNetworks.0",
      "allowNetworks.1",
      "feed.heartbeatMs",
      "limits.registrationsPerMinute",
    ]);
  });

  it("takes keys of AWS KMS and private CAs by their own ARNs, one for each CA", () => {
    const arn = (id: string) => `arn:aws:kms:eu-central-1:111122223333:key/${id}`;
    const signer = (text: string) => `name: a\nca: { signer: ${text} }`;
    const { ca } = parseRegistryConfig("registry.yaml", signer(`{ kind: kms, device: ["${arn("1")}", "${arn("mrk-2")}"] }`));
    expect(ca.signer).to.deep.equal({ kind: "kms", root: [], infrastructure: [], device: [arn("1"), arn("mrk-2")], endpoint: null });
    const alias = "arn:aws:kms:eu-central-1:111122223333:alias/ca";
    for (const [text, told] of [
      ["{ kind: kms }", "ca.signer.device: kms needs the ARN of one key at least"],
      [`{ kind: kms, root: ["${arn("1")}"], device: ["${arn("1")}"] }`, "ca.signer: a key is named twice: every CA has one of its own"],
      [`{ kind: kms, device: ["${alias}"] }`, "ca.signer.device.0: not the ARN of a KMS key (…:key/…)"],
      [
        `{ kind: kms, device: ["${arn("1")}"], endpoint: "https://kms.example/path" }`,
        "ca.signer.endpoint: an endpoint has neither path nor query",
      ],
    ] as const)
      expect(problems(signer(text))).to.deep.equal([told]);
    const pca = { arn: "arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/11111111-2222-3333-4444-555555555555" };
    const list = "https://lists.s3.eu-central-1.amazonaws.com/crl/11111111-2222-3333-4444-555555555555.crl";
    const named = parseRegistryConfig("registry.yaml", signer(JSON.stringify({ kind: "acmPca", authorities: [{ ...pca, list }] })));
    expect(named.ca.signer).to.deep.equal({ kind: "acmPca", authorities: [{ ...pca, list }], endpoint: null });
    expect(
      problems(signer(JSON.stringify({ kind: "acmPca", authorities: [{ arn: arn("1"), list: "https://lists.example/list" }] }))),
    ).to.deep.equal([
      "ca.signer.authorities.0.arn: not the ARN of a private CA (…:certificate-authority/…)",
      "ca.signer.authorities.0.list: not the URL of a list (….crl)",
    ]);
    expect(
      problems(signer(JSON.stringify({ kind: "acmPca", authorities: [{ ...pca, list: "nowhere" }], endpoint: "no URL" }))),
    ).to.deep.equal(["ca.signer.authorities.0.list: Invalid URL", "ca.signer.endpoint: Invalid URL"]);
    expect(problems(signer("{ kind: hsm }"))[0]).to.match(/^ca\.signer\.kind: /);
  });

  for (const [what, text, told] of [
    ["a misspelt key", "name: a\nregistry: {}", /^\(whole file\): unknown key "registry"$/],
    ["a port as text", 'name: a\nregister: { port: "443" }', /^register\.port: /],
    ["a name with a space", "name: register example", /^name: a name is lower-case letters, digits, dots and hyphens$/],
    ["nothing", "", /^name: /],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(problems(text)[0]).to.match(told);
    });
  }
});
