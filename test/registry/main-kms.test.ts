import { X509Certificate } from "node:crypto";
import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { AwsDouble } from "../aws/double.ts";
import { FakeKms } from "../aws/kms.ts";
import { Program, registryScene } from "./programs.ts";

describe("entityos-registry with the CAs' keys in AWS KMS", () => {
  const scene = registryScene();
  const { run, contents } = scene;

  it("inits, checks and serves with the CAs' keys in AWS KMS, also while KMS is away, and says why init cannot", async function () {
    this.timeout(180_000);
    const kms = new FakeKms();
    const arns = ["root", "infrastructure", "device"].map((role) => `${role}: ["${kms.create().arn}"]`);
    await using double = await AwsDouble.start(kms);
    appendFileSync(scene.config, `ca: { signer: { kind: kms, ${arns.join(", ")}, endpoint: "${double.endpoint}" } }\n`);
    Object.assign(process.env, double.environment);
    try {
      double.standing = { kind: "answer", status: 400, type: "AccessDeniedException" };
      const refused = await run("init", "--config", scene.config);
      expect(refused.exit).to.equal(69);
      expect(refused.err).to.match(/^entityos-registry: signer_unavailable: .* \(arn:aws:kms:.*: AccessDeniedException \(400\): /);
      double.standing = null;
      expect((await run("init", "--config", scene.config)).exit).to.equal(0);
      expect(Object.values(contents()).filter((text) => text.includes("PRIVATE")).length).to.equal(3);
      double.standing = { kind: "cut" };
      expect((await run("check", "--config", scene.config)).exit).to.equal(0);
      double.standing = null;
      await using serving = new Program("entityos-registry", ["serve", "--config", scene.config]);
      await serving.line();
      serving.child.kill("SIGTERM");
      expect(((await serving.ended).err + refused.err).includes(double.environment.AWS_SECRET_ACCESS_KEY ?? "")).to.equal(false);
    } finally {
      for (const name of Object.keys(double.environment)) delete process.env[name];
    }
  });

  it("starts with the certificates from before when they are due while KMS is away, and takes the next ones when it is back", async function () {
    this.timeout(180_000);
    const kms = new FakeKms();
    await using double = await AwsDouble.start(kms);
    const arns = `device: ["${kms.create().arn}"], infrastructure: ["${kms.create().arn}"]`;
    appendFileSync(scene.config, `ca: { signer: { kind: kms, ${arns}, endpoint: "${double.endpoint}" } }\n`);
    Object.assign(process.env, double.environment);
    try {
      expect((await run("init", "--config", scene.config)).exit).to.equal(0);
      await using first = new Program("entityos-registry", ["serve", "--config", scene.config]);
      await first.line();
      first.child.kill("SIGTERM");
      await first.ended;
      const pki = (name: string) => join(scene.folder, "state/pki", name);
      const shown = readFileSync(pki("control.crt"), "utf8");
      writeFileSync(
        scene.config,
        readFileSync(scene.config, "utf8").replace(/control: \{(.*?)names: \[/, "control: {$1names: [other.example, "),
      );
      expect(readFileSync(scene.config, "utf8")).to.include("other.example");
      double.standing = { kind: "answer", status: 400, type: "AccessDeniedException" };
      await using serving = new Program("entityos-registry", ["serve", "--config", scene.config]);
      await serving.line();
      expect(serving.err).to.include("Cannot replace the certificate; the one before goes on").and.include("server_certificate");
      expect(readFileSync(pki("control.crt"), "utf8")).to.equal(shown);
      double.standing = null;
      await serving.said("Certificate replaced");
      const names = new X509Certificate(readFileSync(pki("control.crt"))).subjectAltName;
      expect(names).to.include("DNS:other.example");
      serving.child.kill("SIGTERM");
      await serving.ended;

      for (const name of ["control.crt", "register.crt"]) rmSync(pki(name));
      double.standing = { kind: "answer", status: 400, type: "AccessDeniedException" };
      const refused = await run("serve", "--config", scene.config);
      expect(refused.exit).to.equal(69);
      expect(refused.err).to.match(
        /entityos-registry: signer_unavailable: Cannot begin: there is no certificate for register that is good, and the key that signs one cannot be used at the moment\. Start again once it can; 'entityos-registry init' .*AccessDeniedException/,
      );
    } finally {
      for (const name of Object.keys(double.environment)) delete process.env[name];
    }
  });
});
