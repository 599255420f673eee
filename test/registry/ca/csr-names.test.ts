import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { csrFromPem } from "../../../lib/registration/csr.ts";
import { assertNames } from "../../../registry/ca/csr-names.ts";
import { opensslFolder } from "./openssl.ts";

const URN = "urn:entityos:device:0198f2c1-7d1e-7000-8000-0123456789ab";

describe("the names in a request for a device's next certificate", () => {
  let folder: ReturnType<typeof opensslFolder>;
  before(() => {
    folder = opensslFolder();
    folder.write("printable.cnf", "[req]\nstring_mask = pkix\ndistinguished_name = dn\n[dn]\n");
    folder.run("genpkey", "-algorithm", "ED25519", "-out", "k");
  });
  after(() => folder[Symbol.dispose]());

  const request = (...args: string[]): Buffer => csrFromPem(folder.run("req", "-new", "-key", "k", ...args).toString());
  const verdict = (der: Uint8Array): string => {
    try {
      assertNames(der, URN);
      return "fits";
    } catch (error) {
      return error instanceof Problem ? error.code : String(error);
    }
  };
  const SUBJECT = ["-subj", `/CN=${URN}`];
  const NAMES = ["-addext", `subjectAltName=URI:${URN}`];

  for (const [what, args, expected] of [
    ["subject and name of the device", [...SUBJECT, ...NAMES], "fits"],
    ["a subject in another kind of string", [...SUBJECT, ...NAMES, "-config", "printable.cnf"], "fits"],
    ["other extensions beside", [...SUBJECT, ...NAMES, "-addext", "extendedKeyUsage=clientAuth"], "fits"],
    ["a critical name", [...SUBJECT, "-addext", `subjectAltName=critical,URI:${URN}`], "fits"],
    ["no subject", ["-subj", "/", ...NAMES], "csr_subject"],
    ["the name in another field", ["-subj", `/O=${URN}`, ...NAMES], "csr_subject"],
    ["the subject twice", ["-subj", `/CN=${URN}/CN=${URN}`, ...NAMES], "csr_subject"],
    ["a subject of two values", ["-subj", `/CN=${URN}+O=x`, "-multivalue-rdn", ...NAMES], "csr_subject"],
    ["no name", SUBJECT, "csr_subject"],
    ["a DNS name of the same letters", [...SUBJECT, "-addext", `subjectAltName=DNS:${URN}`], "csr_subject"],
    ["the name twice", [...SUBJECT, "-addext", `subjectAltName=URI:${URN},URI:${URN}`], "csr_subject"],
    ["another device", ["-subj", `/CN=${URN.replace("0198", "0199")}`, ...NAMES], "csr_subject"],
  ] as const) {
    it(`are ${expected === "fits" ? "right" : "refused"} with ${what}`, () => {
      expect(verdict(request(...args))).to.equal(expected);
    });
  }

  it("are read from whatever bytes come, and every answer is a coded one", () => {
    const right = request(...SUBJECT, ...NAMES);
    const seen = new Set<string>();
    for (let at = 0; at < right.length; at++) {
      for (const bit of [0x01, 0x20, 0x80]) {
        const bytes = Buffer.from(right);
        bytes[at] = (bytes[at] ?? 0) ^ bit;
        seen.add(verdict(bytes));
      }
      seen.add(verdict(right.subarray(0, at)));
    }
    expect([...seen].sort()).to.deep.equal(["csr_format", "csr_subject", "fits"]);
  });
});
