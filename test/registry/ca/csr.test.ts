import { createPublicKey, generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { expect } from "chai";
import { bitString, integer, NULL, oid, sequence, TAG, tagged, tlv, utf8String } from "../../../lib/der.ts";
import { decodePem, encodePem } from "../../../lib/pem.ts";
import { Problem } from "../../../lib/problem.ts";
import { makeKeyAndCsr, parseCsr, parseCsrPem } from "../../../registry/ca/csr.ts";
import { opensslFolder } from "./openssl.ts";

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return "accepted";
}

describe("a certificate request", () => {
  let folder: ReturnType<typeof opensslFolder>;
  let good: Buffer;
  before(() => {
    folder = opensslFolder();
    good = request("good", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
  });
  after(() => folder[Symbol.dispose]());

  /** DER of a request that the real openssl made. */
  function request(name: string, key: readonly string[], ...options: string[]): Buffer {
    folder.run("genpkey", "-algorithm", ...key, "-out", `${name}.key`);
    return folder.run("req", "-new", "-key", `${name}.key`, "-subj", "/CN=i am root", "-outform", "DER", ...options);
  }

  const accepted: readonly [kind: string, key: string[], options: string[]][] = [
    ["P-256", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], []],
    ["P-256", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["-sha512"]],
    ["P-384", ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], ["-sha256"]],
    ["Ed25519", ["ed25519"], []],
    ["RSA", ["rsa", "-pkeyopt", "rsa_keygen_bits:2048"], ["-sha384"]],
    ["RSA", ["rsa", "-pkeyopt", "rsa_keygen_bits:2048"], ["-addext", "subjectAltName=DNS:root"]],
  ];
  for (const [kind, key, options] of accepted) {
    it(`of openssl for ${kind} ${options.join(" ")} is read`, () => {
      const der = request("accepted", key, ...options);
      const parsed = parseCsr(der);
      expect(parsed.kind).to.equal(kind);
      const expected = createPublicKey(folder.run("pkey", "-in", "accepted.key", "-pubout")).export({ type: "spki", format: "der" });
      expect(parsed.spki.equals(expected)).to.equal(true);
    });
  }

  const refused: readonly [what: string, code: string, key: string[], options: string[]][] = [
    ["RSA with 1024 bits", "csr_key_type", ["rsa", "-pkeyopt", "rsa_keygen_bits:1024"], []],
    ["RSA with exponent 3", "csr_key_type", ["rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"], []],
    ["P-521", "csr_key_type", ["ec", "-pkeyopt", "ec_paramgen_curve:P-521"], []],
    ["secp256k1", "csr_key_type", ["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], []],
    ["explicit curve parameters", "csr_key_type", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"], []],
    ["Ed448", "csr_key_type", ["ed448"], []],
    ["a signature with SHA-1", "csr_algorithm", ["rsa", "-pkeyopt", "rsa_keygen_bits:2048"], ["-sha1"]],
    ["an RSA-PSS signature", "csr_algorithm", ["rsa", "-pkeyopt", "rsa_keygen_bits:2048"], ["-sigopt", "rsa_padding_mode:pss"]],
  ];
  for (const [what, code, key, options] of refused) {
    it(`with ${what} is refused as ${code}`, () => {
      const der = request("refused", key, ...options);
      expect(codeOf(() => parseCsr(der))).to.equal(code);
    });
  }

  it("with a DSA key is refused as csr_key_type", () => {
    folder.run("genpkey", "-genparam", "-algorithm", "dsa", "-pkeyopt", "dsa_paramgen_bits:1024", "-out", "dsa.params");
    folder.run("genpkey", "-paramfile", "dsa.params", "-out", "dsa.key");
    const der = folder.run("req", "-new", "-key", "dsa.key", "-subj", "/CN=a", "-outform", "DER");
    expect(codeOf(() => parseCsr(der))).to.equal("csr_key_type");
  });

  it("with a key of 8192 bits is refused as csr_key_type, within its size", () => {
    expect(codeOf(() => parseCsr(rsa8192()))).to.equal("csr_key_type");
  });

  /** A request whose RSA key is a number of 8192 bits: nobody has its private half. */
  function rsa8192(): Buffer {
    const number = Buffer.alloc(1024, 0xff);
    const key = sequence(integer(number), integer(Buffer.of(1, 0, 1)));
    const algorithm = sequence(oid("1.2.840.113549.1.1.1"), NULL);
    const info = sequence(integer(Buffer.of(0)), sequence(), sequence(algorithm, bitString(key)), tagged(0));
    return sequence(info, sequence(oid("1.2.840.113549.1.1.11"), NULL), bitString(number));
  }

  const odd: readonly [what: string, spki: (n: Buffer, e: Buffer) => Buffer][] = [
    ["a negative modulus", (n, e) => rsaKey(sequence(tlv(TAG.integer, n), integer(e)))],
    ["numbers padded with zeros", (n, e) => rsaKey(sequence(tlv(TAG.integer, Buffer.alloc(2), n), integer(e)))],
    ["a length in the long form of BER", (n, e) => rsaKey(Buffer.concat([Buffer.from("308300010a", "hex"), integer(n), integer(e)]))],
    ["bytes behind it", (n, e) => rsaKey(Buffer.concat([sequence(integer(n), integer(e)), Buffer.from("anything")]))],
    ["parameters of its own", (n, e) => rsaKey(sequence(integer(n), integer(e)), [utf8String("anything")])],
    ["no parameters", (n, e) => rsaKey(sequence(integer(n), integer(e)), [])],
  ];
  const rsaKey = (key: Buffer, parameters: readonly Buffer[] = [NULL]): Buffer =>
    sequence(sequence(oid("1.2.840.113549.1.1.1"), ...parameters), bitString(key));
  for (const [what, spki] of odd) {
    it(`with an RSA key with ${what}, which openssl takes, is refused as csr_key_type`, () => {
      const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
      const { n = "", e = "" } = publicKey.export({ format: "jwk" });
      const made = spki(Buffer.from(n, "base64url"), Buffer.from(e, "base64url"));
      expect(createPublicKey({ key: made, format: "der", type: "spki" }).asymmetricKeyDetails?.modulusLength).to.equal(2048);
      const info = sequence(integer(Buffer.of(0)), sequence(), made, tagged(0));
      const der = sequence(info, sequence(oid("1.2.840.113549.1.1.11"), NULL), bitString(sign("sha256", info, privateKey)));
      expect(codeOf(() => parseCsr(der))).to.equal("csr_key_type");
    });
  }

  it("with attributes of any kind is read, and nothing of them counts", () => {
    const options = [
      "-addext",
      "basicConstraints=critical,CA:TRUE",
      "-addext",
      "keyUsage=keyCertSign",
      "-addext",
      "1.2.3.4=ASN1:UTF8String:odd",
    ];
    expect(parseCsr(request("odd", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ...options)).kind).to.equal("P-256");
    folder.write(
      "challenge.cnf",
      "[req]\nprompt=no\ndistinguished_name=n\nattributes=a\n[n]\nCN=a\n[a]\nchallengePassword=secret\nunstructuredName=odd\n",
    );
    const der = folder.run("req", "-new", "-key", "odd.key", "-config", "challenge.cnf", "-outform", "DER");
    expect(parseCsr(der).kind).to.equal("P-256");
  });

  it("nested deeper than 16 is refused as csr_format", () => {
    let deep: Buffer = Buffer.alloc(0);
    for (let level = 0; level < 400; level++) deep = sequence(deep);
    expect(codeOf(() => parseCsr(deep))).to.equal("csr_format");
  });

  it("with a compressed point is refused as csr_key_type", () => {
    folder.run("ec", "-in", "good.key", "-conv_form", "compressed", "-out", "compressed.key");
    const der = folder.run("req", "-new", "-key", "compressed.key", "-subj", "/CN=a", "-outform", "DER");
    expect(codeOf(() => parseCsr(der))).to.equal("csr_key_type");
  });

  it("for a kind of key that the caller does not want is refused as csr_key_type", () => {
    const der = request("other", ["ed25519"]);
    expect(codeOf(() => parseCsr(der, ["P-256"]))).to.equal("csr_key_type");
  });

  it("with one bit of its content changed is refused", () => {
    const subject = good.indexOf("i am root");
    const tampered = Buffer.from(good);
    tampered[subject] = 0x49;
    expect(codeOf(() => parseCsr(tampered))).to.equal("csr_signature");
  });

  it("with another key's signature is refused as csr_signature", () => {
    const other = request("another", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    const at = (der: Buffer) => der.indexOf(Buffer.from("2a8648ce3d040302", "hex")) + 8;
    const spliced = Buffer.concat([good.subarray(0, at(good)), other.subarray(at(other))]);
    spliced.writeUInt8(spliced.length - 3, 2);
    expect(codeOf(() => parseCsr(spliced))).to.equal("csr_signature");
  });

  it("in BER is refused as csr_format", () => {
    const indefinite = Buffer.concat([Buffer.from("3080", "hex"), good.subarray(3), Buffer.from("0000", "hex")]);
    expect(good.subarray(0, 2).toString("hex")).to.equal("3081");
    expect(codeOf(() => parseCsr(indefinite))).to.equal("csr_format");
    const padded = Buffer.concat([Buffer.from("308200", "hex"), good.subarray(2)]);
    expect(codeOf(() => parseCsr(padded))).to.equal("csr_format");
  });

  it("cut short, followed by more, or of another shape is refused as csr_format", () => {
    expect(codeOf(() => parseCsr(good.subarray(0, -1)))).to.equal("csr_format");
    expect(codeOf(() => parseCsr(Buffer.concat([good, Buffer.of(0)])))).to.equal("csr_format");
    expect(codeOf(() => parseCsr(Buffer.from("3000", "hex")))).to.equal("csr_format");
    expect(codeOf(() => parseCsr(Buffer.alloc(0)))).to.equal("csr_format");
  });

  it("larger than 8192 bytes is refused as csr_size before it is read", () => {
    expect(codeOf(() => parseCsr(Buffer.alloc(8_193)))).to.equal("csr_size");
    expect(codeOf(() => parseCsrPem("A".repeat(12_000)))).to.equal("csr_size");
  });

  it("in PEM is read when it is one block and nothing else", () => {
    const pem = encodePem("CERTIFICATE REQUEST", good);
    expect(parseCsrPem(pem).kind).to.equal("P-256");
    expect(parseCsrPem(`\n${pem.replaceAll("\n", "\r\n")}\n`).kind).to.equal("P-256");
    expect(codeOf(() => parseCsrPem(pem + pem))).to.equal("csr_format");
    expect(codeOf(() => parseCsrPem(encodePem("CERTIFICATE", good)))).to.equal("csr_format");
    expect(codeOf(() => parseCsrPem(`hello\n${pem}`))).to.equal("csr_format");
    expect(codeOf(() => parseCsrPem("no request"))).to.equal("csr_format");
  });

  it("of our own is one that openssl verifies", async () => {
    const { key, csr } = await makeKeyAndCsr("host-1");
    folder.write("own.csr", csr);
    expect(folder.run("req", "-in", "own.csr", "-verify", "-noout", "-subject").toString()).to.equal("subject=CN = host-1\n");
    const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
    expect(parseCsrPem(csr).spki.equals(publicKey)).to.equal(true);
    expect(decodePem("PRIVATE KEY", key)).to.be.an.instanceOf(Buffer);
  });

  it("without a name is one too", async () => {
    const { csr } = await makeKeyAndCsr(null);
    folder.write("nameless.csr", csr);
    expect(folder.run("req", "-in", "nameless.csr", "-verify", "-noout", "-subject").toString()).to.equal("subject=\n");
    expect(() => new X509Certificate(csr)).to.throw();
  });
});
