import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import { caProblems } from "../../../infra/aws/certificates.ts";
import { parseAws } from "../../../infra/aws/settings.ts";
import { withCas } from "./cas.ts";
import { problems } from "./refused.ts";
import { settingsText } from "./synthesised.ts";

const withPki = (pki: object): string => settingsText("trial").replace(/^pki: .*$/m, `pki: ${JSON.stringify(pki)}`);
const withRoot = (root: string): string => withPki({ kind: "kms", root });

describe("CAs in the settings of AWS", function () {
  this.timeout(180_000);

  it("are taken when root, infrastructure CA and device CA fit together, and written in their own form", () => {
    const { root, infrastructure, device } = withCas(({ self, below }) => ({
      root: self("root"),
      infrastructure: below("infrastructure", "root"),
      device: below("device", "root"),
    }));
    const { pki } = parseAws("test.yaml", withPki({ kind: "own", root: `\n${root.replaceAll("\n", "\r\n")}`, infrastructure, device }));
    expect(pki).to.deep.equal({ kind: "own", root, infrastructure, device });
  });

  it("are refused, each with its path, when another root signed them, or one stands for both", () => {
    const given = withCas(({ self, below }) => {
      const [root, other] = [self("root"), self("other")];
      return { root, infrastructure: below("infrastructure", "other"), device: below("device", "root"), other };
    });
    const { other, ...pki } = given;
    expect(problems(withPki({ kind: "own", ...pki }))).to.deep.equal(["pki.infrastructure: it is not signed by the root that is given"]);
    expect(problems(withPki({ kind: "own", ...pki, infrastructure: pki.device }))).to.deep.equal([
      "pki.device: it is the infrastructure CA's certificate: each has its own",
    ]);
    expect(problems(withPki({ kind: "own", ...pki, root: pki.device }))).to.include(
      "pki.root: it is no root: it is not signed by its own key",
    );
    expect(other).to.not.equal(pki.root);
  });

  it("are refused when a root of the same name signed them, and one that cannot be read hides nothing of another", () => {
    const made = () =>
      withCas(({ self, below }) => ({
        root: self("root"),
        infrastructure: below("infrastructure", "root"),
        device: below("device", "root"),
      }));
    const [ours, theirs] = [made(), made()];
    expect(problems(withPki({ kind: "own", ...ours, device: theirs.device }))).to.deep.equal([
      "pki.device: it is not signed by the root that is given",
    ]);
    expect(problems(withPki({ kind: "own", ...ours, infrastructure: "hello", device: theirs.device }))).to.deep.equal([
      "pki.infrastructure: one certificate in PEM is asked for, and nothing beside it",
      "pki.device: it is not signed by the root that is given",
    ]);
  });

  it("are refused when they are no certificate, no CA's, may not sign, or have a key that nobody here signs with", () => {
    const made = withCas(({ self }) => ({
      leaf: self("leaf", { of: "leaf" }),
      half: self("half", { of: "half" }),
      rsa: self("rsa", { key: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"] }),
      root: self("root"),
      ed: self("ed", { key: ["-algorithm", "ED25519"] }),
    }));
    const oneAsked = ["pki.root: one certificate in PEM is asked for, and nothing beside it"];
    expect(problems(withRoot("hello"))).to.deep.equal(oneAsked);
    expect(problems(withRoot(made.root + made.root))).to.deep.equal(oneAsked);
    expect(problems(withRoot(`${made.root}END_OF_ENTITYOS_FILE\n`))).to.deep.equal(oneAsked);
    expect(problems(withRoot(`-----BEGIN CERTIFICATE-----\n${"MIIB".repeat(16)}\n-----END CERTIFICATE-----\n`))).to.deep.equal([
      "pki.root: it is PEM, but no certificate can be read from it",
    ]);
    expect(problems(withRoot(made.leaf))).to.deep.equal([
      "pki.root: it is no CA's certificate: its basic constraints do not say that it is one",
    ]);
    expect(problems(withRoot(made.half))).to.deep.equal([
      "pki.root: its key may not sign certificates and lists: key usage does not have keyCertSign and cRLSign",
    ]);
    expect(problems(withRoot(made.rsa))).to.deep.equal(["pki.root: its key is none that the registry signs with: P-256, P-384 or Ed25519"]);
    expect(parseAws("test.yaml", withRoot(made.ed)).pki.kind).to.equal("kms");
  });

  it("are refused when their time is over, has not come, or ends soon", () => {
    const [over, soon] = withCas(({ self }) => [self("over", { times: ["-days", "-1"] }), self("soon", { times: ["-days", "20"] })]);
    expect(problems(withRoot(over ?? "")).join()).to.match(/^pki\.root: it ended on \w+ +\d+ [\d:]+ \d+ GMT$/);
    expect(problems(withRoot(soon ?? "")).join()).to.match(/^pki\.root: it ends on .* GMT, within 30 days$/);
    const { validFrom } = new X509Certificate(soon ?? "");
    expect(caProblems({ root: soon ?? "", infrastructure: null, device: null }, Date.parse(validFrom) - 1)).to.deep.equal([
      ["root", `it is valid from ${validFrom} on, not yet`],
    ]);
  });
});
