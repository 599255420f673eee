import { expect } from "chai";
import { SmallTrust, sortChanges } from "../../../agent/terminator/desired-trust.ts";

const [FIRST, SECOND] = ["0198f2c1-7d1e-7000-8000-0123456789ab", "0198f2c1-7d1e-7000-8000-0123456789ac"];
const FINGERPRINT = "a".repeat(64);
const certificate = (applied: string | null, wanted: string | null) =>
  sortChanges([{ target: "certificate", id: FINGERPRINT, applied, wanted }], new SmallTrust());

describe("differences of trust for HAProxy", () => {
  it("name a certificate that came and went as one that is gone: the maps may have been written in between", () => {
    expect(certificate(null, null)).to.deep.include({ gone: [FINGERPRINT], registered: [], altered: [] });
  });
});

describe("the first end of all that is told", () => {
  it("is a certificate's though it is there no more, and a binding's that is there, of those that had not come by then", () => {
    const trust = new SmallTrust(1_000);
    const bind = (id: string, expiresAt: number) => trust.take("binding", id, JSON.stringify({ expiresAt }));
    expect(trust.firstEnd).to.equal(Number.POSITIVE_INFINITY);
    bind(`${FIRST} 192.0.2.1/32`, 900);
    bind(`${SECOND} 192.0.2.2/32`, 5_000);
    expect(trust.firstEnd).to.equal(5_000);
    bind(`${SECOND} 192.0.2.2/32`, 9_000);
    expect(trust.firstEnd).to.equal(9_000);
    const body = { device: FIRST, pattern: "cert", subject: "s", serial: "01", issuer: "device-00000001", notAfter: 7_000 };
    trust.take("certificate", FINGERPRINT, JSON.stringify(body));
    trust.take("certificate", FINGERPRINT, null);
    expect(trust.firstEnd).to.equal(7_000);
  });
});
