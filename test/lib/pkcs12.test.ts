import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { expect } from "chai";
import { makePkcs12 } from "../../lib/pkcs12.ts";
import { opensslFolder } from "../registry/ca/openssl.ts";

/** Arguments of openssl genpkey. */
const KINDS = {
  "P-256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
  "P-384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
  Ed25519: ["-algorithm", "ED25519"],
  RSA: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
} as const;

describe("PKCS #12", () => {
  const PASSWORD = 'a pass"word: ü 😀';

  it("is read back by openssl, for keys of every kind, with the chain and the name", () => {
    using openssl = opensslFolder();
    openssl.run(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-noenc",
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
      "-subj",
      "/CN=above",
    );
    const above = openssl.run("x509", "-in", "ca.pem").toString();
    for (const [kind, how] of Object.entries(KINDS)) {
      const key = createPrivateKey(openssl.run("genpkey", ...how).toString());
      const certificate = certified(openssl, key);
      openssl.write("d.p12", makePkcs12({ key, certificate, chain: [above], name: `device ${kind}`, password: PASSWORD }));
      openssl.write("password", PASSWORD);
      const read = openssl.run("pkcs12", "-in", "d.p12", "-passin", "file:password", "-noenc").toString();
      expect(createPrivateKey(read).equals(key), kind).to.equal(true);
      expect(certificatesIn(read)).to.deep.equal([serialOf(certificate), serialOf(above)]);
      expect(read).to.contain(`friendlyName: device ${kind}`);
    }
  });

  it("is encrypted by PBES2 with AES-256 and HMAC-SHA-256 in all its parts, and differs each time", () => {
    using openssl = opensslFolder();
    const key = createPrivateKey(openssl.run("genpkey", ...KINDS["P-256"]).toString());
    const parts = { key, certificate: certified(openssl, key), chain: [], name: "device", password: "p" };
    const made = makePkcs12(parts);
    openssl.write("d.p12", made);
    const told = openssl.runBoth("pkcs12", "-in", "d.p12", "-passin", "pass:p", "-noout", "-info");
    expect(told.split("\n").filter((line) => line !== "")).to.deep.equal([
      "MAC: sha256, Iteration 100000",
      "MAC length: 32, salt length: 16",
      "PKCS7 Encrypted data: PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256",
      "Certificate bag",
      "PKCS7 Data",
      "Shrouded Keybag: PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256",
    ]);
    expect(makePkcs12(parts).equals(made)).to.equal(false);
    expect(() => openssl.run("pkcs12", "-in", "d.p12", "-passin", "pass:q", "-noout")).to.throw(/invalid password/);
  });

  it("takes no empty password, none of several lines and none beyond 256 characters", () => {
    using openssl = opensslFolder();
    const key = createPrivateKey(openssl.run("genpkey", ...KINDS["P-256"]).toString());
    const parts = { key, certificate: certified(openssl, key), chain: [], name: "device" };
    for (const password of ["", "a\nb", "a\0b", "x".repeat(257)]) {
      expect(() => makePkcs12({ ...parts, password })).to.throw(RangeError, "A password is one line of 1 to 256 characters.");
    }
  });
});

function certified(openssl: ReturnType<typeof opensslFolder>, key: KeyObject): string {
  openssl.write("d.key", String(key.export({ type: "pkcs8", format: "pem" })));
  return openssl.run("req", "-x509", "-key", "d.key", "-subj", "/CN=device").toString();
}

const serialOf = (pem: string): string => new X509Certificate(pem).serialNumber;
const certificatesIn = (text: string): string[] =>
  (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(serialOf);
