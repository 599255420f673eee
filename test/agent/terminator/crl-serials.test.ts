import { expect } from "chai";
import { plainSerial, revokedSerials } from "../../../agent/terminator/crl-serials.ts";
import { TrustBodyError } from "../../../agent/terminator/entries.ts";
import { makeTestPki } from "./pki.ts";

const der = (body: string) => Buffer.from((JSON.parse(body) as { der: string }).der, "base64");

describe("serials of a CRL", () => {
  it("are what it takes back, whatever zeros they begin with", async () => {
    const pki = await makeTestPki();
    const serials = ["01", "80", "00ff", "7a".repeat(16), "ff".repeat(16)];
    const revoked = serials.map((serial) => ({ serial, revokedAt: Date.now() - 1_000, reason: "superseded" as const }));
    expect([...revokedSerials(der(await pki.crl("device", 1, revoked)))].sort()).to.deep.equal(serials.map(plainSerial).sort());
    expect([...revokedSerials(der(await pki.crl("device", 2)))]).to.deep.equal([]);
  });

  it("are refused from a list that is cut off at any byte, and from what is none", async () => {
    const pki = await makeTestPki();
    const whole = der(await pki.crl("device", 1, [{ serial: "01", revokedAt: Date.now() - 1_000, reason: "superseded" }]));
    for (let length = 0; length < whole.length; length++) expect(() => revokedSerials(whole.subarray(0, length))).to.throw(TrustBodyError);
    for (const bytes of ["", "00", "3080", "30820000", "30853000000000", "0101ff"])
      expect(() => revokedSerials(Buffer.from(bytes, "hex"))).to.throw(TrustBodyError);
  });
});
