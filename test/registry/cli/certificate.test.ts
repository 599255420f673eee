import { createPrivateKey, createPublicKey } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { opensslFolder } from "../ca/openssl.ts";
import { certifiedScene } from "./certified.ts";
import { cli } from "./registry.ts";

const HOUR_MS = 3_600_000;

describe("a device with a certificate", () => {
  const scene = certifiedScene();
  const { another, enroll, enrolled, run, state, held, file, mode, assertWhole, listed } = scene;

  it("enrols with a key made here, and keeps key, certificate and chain together, the key for its owner alone", async () => {
    const { folder, exit, out } = await enroll("cert", "--certificate", "--no-addresses");
    expect(exit).to.equal(0);
    const { device } = state(folder);
    const { serial, notAfter } = held(folder);
    const until = `${new Date(notAfter).toISOString().slice(0, 19).replace("T", " ")} UTC`;
    expect(out).to.equal(
      `registered with: register.example\ndevice:          ${device}\npattern:         cert\ncertificate:     ${serial} (P-256)\n` +
        `valid until:     ${until}\nfiles:           ${scene.registry.path(folder, "certificate")}\nin force on:     0 of 0 hosts\n`,
    );
    assertWhole(folder);
    expect(readdirSync(scene.registry.path(folder)).sort()).to.deep.equal(["certificate", "certificates", "device.json", "device.key"]);
    expect(readlinkSync(scene.registry.path(folder, "certificate"))).to.equal(`certificates/${serial}`);
    expect(readdirSync(scene.registry.path(folder, "certificate")).sort()).to.deep.equal(["certificate.pem", "chain.pem", "key.pem"]);
    expect([mode(folder, "certificate", "key.pem"), mode(folder, "certificate")]).to.deep.equal([0o600, 0o700]);
    expect((await listed(folder)).map(({ fingerprint, state: now }) => [fingerprint, now])).to.deep.equal([
      [held(folder).fingerprint, "live"],
    ]);
    expect(file(folder, "certificate.pem")).to.equal(
      file(folder, "certificate.pem").slice(0, -file(folder, "chain.pem").length) + file(folder, "chain.pem"),
    );
  });

  for (const [type, expected] of [
    ["P-256", "ec prime256v1"],
    ["P-384", "ec secp384r1"],
    ["Ed25519", "ed25519 undefined"],
    ["RSA", "rsa undefined"],
  ] as const) {
    it(`enrols with a key of type ${type} and writes it as PKCS #12, which openssl reads back`, async () => {
      using openssl = opensslFolder();
      const password = openssl.write("password", "correct horse\n");
      const p12 = `${openssl.path}/device.p12`;
      const folder = await enrolled("cert", "--key-type", type, "--pkcs12", p12, "--pkcs12-password-file", password);
      const { asymmetricKeyType, asymmetricKeyDetails } = createPublicKey(file(folder, "key.pem"));
      expect(`${asymmetricKeyType} ${asymmetricKeyDetails?.namedCurve}`).to.equal(expected);
      expect([statSync(p12).mode & 0o777, held(folder).keyType]).to.deep.equal([0o600, type]);
      const read = openssl.run("pkcs12", "-in", p12, "-passin", "file:password", "-noenc").toString();
      expect(createPrivateKey(read).equals(createPrivateKey(file(folder, "key.pem")))).to.equal(true);
      const names = (read.match(/^subject=.*$/gm) ?? []).map((line) => line.replace(/[0-9A-F]{16,}/gi, "ID"));
      expect(names).to.have.length(2);
      expect(names[0]).to.equal(`subject=CN = urn:entityos:device:${state(folder).device}`);
      expect(read).to.contain(`friendlyName: entityos ${state(folder).device}`);
    });
  }

  it("asks for the PKCS #12 password twice on the terminal, and takes none from the command line", async () => {
    const args = [
      "enroll",
      "--url",
      scene.registry.url,
      "--registry",
      "register.example",
      "--ca",
      scene.registry.ca,
      "--certificate",
      "--no-addresses",
    ];
    writeFileSync(scene.registry.path("cert-code"), await scene.registry.code("--profile", "cert"));
    const p12 = ["--pkcs12", scene.registry.path("typed.p12"), "--code-file", scene.registry.path("cert-code")];
    expect((await cli([...args, ...p12, "--state", scene.registry.path("p12")])).err.split("\n")[0]).to.equal(
      "usage: There is no terminal to ask for the password: give it with --pkcs12-password-file FILE, or - for standard input.",
    );
    expect((await cli([...args, ...p12, "--pkcs12-password", "x"])).err.split("\n")[0]).to.equal(
      "usage: Unknown option '--pkcs12-password'.",
    );
    const { exit } = await cli([...args, ...p12, "--state", scene.registry.path("p12")], { typed: "typed here" });
    expect(exit).to.equal(0);
    using openssl = opensslFolder();
    openssl.run("pkcs12", "-in", scene.registry.path("typed.p12"), "-passin", "pass:typed here", "-noout");
  });

  const wrong: readonly (readonly [args: readonly string[], exit: number, err: string, files?: Record<string, string>])[] = [
    [["--no-addresses"], 64, "usage: --no-addresses goes with --certificate: nothing else is left."],
    [["--no-addresses", "--address", "observed"], 64, "usage: --address, --dual-stack and --no-addresses exclude each other."],
    [["--key-type", "P-256"], 64, "usage: Options of a certificate go with --certificate."],
    [["--pkcs12", "x.p12"], 64, "usage: Options of a certificate go with --certificate."],
    [["--certificate", "--key-type", "p256"], 64, "usage: --key-type is one of P-256, P-384, Ed25519, RSA: 'p256' is none."],
    [["--certificate", "--pkcs12-password-file", "x"], 64, "usage: --pkcs12-password-file goes with --pkcs12."],
    [
      ["--certificate", "--pkcs12", "/x.p12", "--pkcs12-password-file", "-"],
      64,
      "usage: Standard input holds the code or the password, not both.",
    ],
    [
      ["--certificate", "--pkcs12", "/nonexistent/x.p12", "--pkcs12-password-file", "/dev/null"],
      65,
      "file_unwritable: Cannot write /nonexistent/x.p12: its folder is not there, or not to be written.",
    ],
    [["--certificate", "--pkcs12", "/tmp"], 65, "file_unwritable: Cannot write /tmp: it is a folder."],
    [
      ["--certificate", "--pkcs12", "/tmp/never.p12", "--pkcs12-password-file", "/dev/null"],
      65,
      "password_form: A password is one line of 1 to 256 characters.",
    ],
  ];
  for (const [args, exit, err] of wrong) {
    it(`ends 'enroll ${args.join(" ")}' with ${exit}, and has sent nothing`, async () => {
      const code = await scene.registry.code("--profile", "cert");
      const ran = await scene.registry.enroll("wrong", code, ...args);
      expect([ran.exit, ran.err.split("\n")[0]]).to.deep.equal([exit, err]);
      expect(existsSync(scene.registry.path("wrong"))).to.equal(false);
    });
  }

  for (const [profile, args, err] of [
    ["cert", ["--no-addresses"], "usage: --no-addresses goes with --certificate: nothing else is left.\nSee: entityos enroll --help\n"],
    [
      "either",
      [],
      "certificate_required: This profile admits with a certificate: send a csr, the request to sign.\nAsk for one: --certificate\n",
    ],
    [
      "cert",
      ["--certificate"],
      "addresses_not_offered: This profile admits by certificate from any address: leave the addresses out and send a CSR.\nRegister the certificate alone: --certificate --no-addresses\n",
    ],
    [
      "desktop",
      ["--certificate"],
      "certificate_not_offered: This profile admits by address alone: leave the csr out.\nAsk for none: leave --certificate out, and renew with --no-certificate.\n",
    ],
  ] as const) {
    it(`is told what profile ${profile} wants instead of '${args.join(" ")}', and has spent nothing`, async () => {
      const code = await scene.registry.code("--profile", profile);
      const folder = another("wants");
      expect((await scene.registry.enroll(folder, code, ...args)).err).to.equal(err);
      const right = profile === "cert" ? ["--certificate", "--no-addresses"] : profile === "either" ? ["--certificate"] : [];
      expect((await scene.registry.enroll(folder, code, ...right)).exit).to.equal(0);
    });
  }

  it("status tells certificate, serial and until when, and whether anything lives", async () => {
    const folder = await enrolled("cert");
    const { serial, notAfter } = held(folder);
    const { exit, out } = await run("status", folder);
    expect(exit).to.equal(0);
    expect(out).to.match(new RegExp(`\\ncertificate: +${serial} \\(P-256\\)\\nvalid until: +\\d{4}-.* UTC\\nfiles: .*/certificate\\n`));
    expect(out).to.match(/\nseen from: +127\.0\.0\.1\n$/);
    expect(JSON.parse((await run("status", folder, "--json")).out)).to.deep.include({ covered: null, certificate: held(folder) });
    const later = await cli(["status", "--offline", "--state", scene.registry.path(folder)], { now: () => notAfter });
    expect([later.exit, later.err.split("\n")[0]]).to.deep.equal([1, "all_expired: Nothing that this device registered lives any more."]);
    expect(later.out).to.match(/\nvalid until: +expired /);
  });

  it("is shown to the operator with its certificates, the ones before too", async () => {
    const folder = await enrolled("cert");
    const first = held(folder);
    await run("renew", folder);
    const { device } = state(folder);
    const shown = await scene.registry.json<{ certificates: { fingerprint: string; serial: string; state: string; notAfter: number }[] }>(
      "device",
      "show",
      device,
    );
    const told = shown.certificates.map(({ serial, notAfter, state: now }) => `${serial} ${notAfter} ${now}`);
    expect(told.sort()).to.deep.equal([first, held(folder)].map(({ serial, notAfter }) => `${serial} ${notAfter} live`).sort());
    const { out } = await scene.registry.operator("device", "show", device);
    expect(out).to.contain("\nno grants\n\nFINGERPRINT ").and.to.contain(held(folder).fingerprint);
  });

  it("leaves with all of its files, and the registry revokes the certificate", async () => {
    const folder = await enrolled("both");
    const { device } = state(folder);
    const before = await listed(folder);
    expect(before.map(({ state: now }) => now)).to.deep.equal(["live"]);
    expect((await run("leave", folder)).out).to.equal(`left: ${device}\n`);
    expect(readdirSync(scene.registry.path(folder))).to.deep.equal([]);
    const { items } = await scene.registry.json<{ items: { device: string | null; state: string }[] }>("cert", "list", "--limit", "1000");
    expect(items.filter((item) => item.device === device).map(({ state: now }) => now)).to.deep.equal(["revoked"]);
  });

  it("makes its folder private even where one was there", async () => {
    mkdirSync(scene.registry.path("open"), { mode: 0o755 });
    chmodSync(scene.registry.path("open"), 0o755);
    const { exit } = await scene.registry.enroll("open", await scene.registry.code("--profile", "cert"), "--certificate", "--no-addresses");
    expect(exit).to.equal(0);
    expect([mode("open", "certificates"), mode("open", "certificate", "key.pem")]).to.deep.equal([0o700, 0o600]);
    expect(held("open").notAfter - held("open").notBefore).to.equal(6 * HOUR_MS + 60_000);
  });
});
