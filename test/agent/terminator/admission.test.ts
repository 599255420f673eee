import { expect } from "chai";
import { DesiredState } from "../../../agent/desired.ts";
import { Admission } from "../../../agent/terminator/admission.ts";
import { makeTestPki } from "./pki.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";

describe("admission by the agent", () => {
  it("counts no certificate that none of the CAs signed, also when a list that ran out hides that from nginx", async () => {
    const [pki, other] = [await makeTestPki(), await makeTestPki()];
    const desired = new DesiredState();
    const admission = new Admission({ expiredCrl: "keep", roams: true }, Date.now);
    admission.trustAuthorities([pki.root, pki.deviceCa], new Set([pki.deviceCaId]));
    const certificates = [await pki.issue(DEVICE), await other.issue(DEVICE)];
    for (const { fingerprint, serial, notAfter } of certificates) {
      const body = JSON.stringify({ device: DEVICE, pattern: "cert", subject: "alice", serial, issuer: pki.deviceCaId, notAfter });
      desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body });
    }
    admission.replace(desired);
    const admitted = certificates.map(({ cert }) => {
      const leaf = cert.slice(0, cert.indexOf("-----END CERTIFICATE-----") + 26);
      const asked = { lane: "roaming", family: 4, address: "192.0.2.1", certificate: encodeURIComponent(leaf) } as const;
      return admission.decide({ ...asked, verify: "FAILED:CRL has expired" }) !== null;
    });
    expect(admitted).to.deep.equal([true, false]);
  });
});
