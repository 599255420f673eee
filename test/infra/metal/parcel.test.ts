import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { openParcel, PACK, parcelOf, UNPACK } from "../../../infra/metal/parcel.ts";

const pem = (what: string, body = "AAAA") => `-----BEGIN ${what}-----\n${body}\n-----END ${what}-----\n`;
const REQUEST = pem("CERTIFICATE REQUEST");
const CERTIFICATE = pem("CERTIFICATE");

describe("a parcel between hosts", () => {
  it("is written and read by the shell of each side", () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-parcel-"));
    try {
      const files = { "agent.crt": CERTIFICATE + CERTIFICATE, "ca.pem": CERTIFICATE };
      const unpacked = spawnSync("sh", ["-euc", UNPACK], { cwd: folder, input: parcelOf(files), encoding: "utf8" });
      expect([unpacked.status, readdirSync(folder).sort()]).to.deep.equal([0, ["agent.crt", "ca.pem"]]);
      expect(readFileSync(join(folder, "agent.crt"), "utf8")).to.equal(files["agent.crt"]);
      const packed = spawnSync("sh", ["-euc", `folder=${folder} files='agent.crt ca.pem absent'; ${PACK}`], { encoding: "utf8" });
      expect(openParcel(packed.stdout, ["agent.crt", "ca.pem"])).to.deep.equal(files);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  /** What a host says that was broken into. */
  const HOSTILE: readonly [what: string, text: string, error: string][] = [
    ["a file of another name", parcelOf({ "agent.csr": REQUEST, "../../etc/passwd": REQUEST }), "a file too many"],
    ["a file twice", parcelOf({ "agent.csr": REQUEST }) + parcelOf({ "agent.csr": REQUEST }), "a file too many"],
    ["a key", parcelOf({ "agent.csr": pem("PRIVATE KEY") }), "agent.csr is not PEM of certificates or requests"],
    [
      "words in a request",
      parcelOf({ "agent.csr": pem("CERTIFICATE REQUEST", "$(id)") }),
      "agent.csr is not PEM of certificates or requests",
    ],
    ["an archive", "agent.csr\u0000\u0000ustar", "something stands before the first file"],
    ["nothing", "", "agent.csr is missing"],
    ["a file without an end", "= agent.csr", "a file too many"],
    ["too much", parcelOf({ "agent.csr": REQUEST.repeat(2_000) }), "agent.csr is not PEM of certificates or requests"],
  ];
  for (const [what, text, error] of HOSTILE) {
    it(`is refused with ${what}`, () => {
      expect(() => openParcel(text, ["agent.csr"])).to.throw(Error, error);
    });
  }
});
