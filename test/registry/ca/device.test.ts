import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import { encodePem } from "../../../lib/pem.ts";
import type { KeyKind } from "../../../registry/ca/algorithms.ts";
import { caId, caName, makeIntermediate, makeRoot } from "../../../registry/ca/authority.ts";
import { createIssuer } from "../../../registry/ca/certificate.ts";
import { crlEntries, readCrlFacts, signCrl } from "../../../registry/ca/crl.ts";
import { createDeviceCa } from "../../../registry/ca/device.ts";
import { issuerOf } from "../../../registry/ca/issuer-of.ts";
import { makeRootCrl } from "../../../registry/ca/root-crl.ts";
import { generateKey } from "../../../registry/ca/signer.ts";
import { opensslFolder } from "./openssl.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);
const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";

/** A root and a device CA with that kind of key, with the files that openssl and certtool read. */
async function authority(kind: "P-256" | "P-384", now: number) {
  const folder = opensslFolder();
  const [rootKey, key] = [generateKey(kind).signer, generateKey(kind).signer];
  const root = await makeRoot(rootKey, now);
  const certificate = await makeIntermediate("device CA", issuerOf(root, rootKey), key, now);
  const ca = createDeviceCa(certificate, key, "https://register.example:9443");
  const issuer = createIssuer(caName("device CA", key), key);
  folder.write("root.pem", root);
  folder.write("device-ca.pem", certificate);
  folder.write("root.crl.pem", encodePem("X509 CRL", await makeRootCrl(issuerOf(root, rootKey), now)));
  return { folder, ca, issuer, key, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

const facts = (number: number, now: number) => ({ number, thisUpdate: now, nextUpdate: now + 7 * DAY_MS });

describe("the device CA", () => {
  for (const issuing of ["P-256", "P-384"] as const) {
    for (const kind of ["P-256", "P-384", "Ed25519", "RSA"] satisfies KeyKind[]) {
      it(`with a ${issuing} key signs a ${kind} key so that openssl and GnuTLS take chain and lists, and refuse what was revoked`, async () => {
        // certtool checks at the system's time only.
        const now = Date.now();
        using made = await authority(issuing, now);
        const { folder, ca, issuer } = made;
        const [good, bad] = await Promise.all(
          [1, 2].map(() => ca.issue({ kind, spki: generateKey(kind).signer.spki }, DEVICE, HOUR_MS, now)),
        );
        const entry = crlEntries([{ serial: bad?.serial ?? "", revokedAt: now, reason: "keyCompromise" }]);
        folder.write("device.crl.pem", encodePem("X509 CRL", await signCrl(issuer, facts(7, now), [entry])));
        folder.write("good.pem", good?.pem ?? "");
        folder.write("bad.pem", bad?.pem ?? "");
        const verify = (file: string) => {
          const lists = ["-CRLfile", "root.crl.pem", "-CRLfile", "device.crl.pem"];
          const chain = ["-CAfile", "root.pem", "-untrusted", "device-ca.pem"];
          return spawnSync("openssl", ["verify", "-x509_strict", "-crl_check_all", "-purpose", "sslclient", ...chain, ...lists, file], {
            cwd: folder.path,
          });
        };
        expect(String(verify("good.pem").stdout)).to.equal("good.pem: OK\n");
        // 23 is X509_V_ERR_CERT_REVOKED.
        expect(String(verify("bad.pem").stderr)).to.include("error 23 at 0 depth lookup");
        folder.write("lists.pem", encodePem("X509 CRL", await signCrl(issuer, facts(8, now), [entry])));
        const gnutls = (file: string) => {
          folder.write("chain.pem", (file === "good.pem" ? good : bad)?.pem + ca.chain);
          const args = ["--verify", "--load-ca-certificate", "root.pem", "--load-crl", "lists.pem", "--infile", "chain.pem"];
          return spawnSync("certtool", args, { cwd: folder.path });
        };
        expect(String(gnutls("good.pem").stdout)).to.include("Chain verification output: Verified.");
        expect(String(gnutls("bad.pem").stdout)).to.include("revoked");
      });
    }
  }

  it("writes subject, names, use and list from what it is told, and a life from a minute before now", async () => {
    using made = await authority("P-256", NOW);
    const { ca, folder, key } = made;
    const issued = await ca.issue({ kind: "P-256", spki: generateKey().signer.spki }, DEVICE, 2 * HOUR_MS, NOW);
    const certificate = new X509Certificate(issued.pem);
    const urn = `urn:entityos:device:${DEVICE}`;
    expect([certificate.subject, certificate.subjectAltName, certificate.keyUsage]).to.deep.equal([
      `CN=${urn}`,
      `URI:${urn}`,
      ["1.3.6.1.5.5.7.3.2"],
    ]);
    expect([issued.notBefore, issued.notAfter, issued.subject]).to.deep.equal([NOW - 60_000, NOW + 2 * HOUR_MS, urn]);
    expect(ca.id)
      .to.equal(caId("device CA", key.spki))
      .and.to.match(/^device-[0-9a-f]{8}$/);
    const text = folder.run("x509", "-in", folder.write("c.pem", issued.pem), "-noout", "-ext", "crlDistributionPoints").toString();
    expect(text).to.include(`URI:https://register.example:9443/v1/crl/${ca.id}.der`);
  });

  it("makes nothing that outlives it", async () => {
    using made = await authority("P-256", NOW);
    const end = Date.parse(new X509Certificate(made.ca.chain).validTo);
    const issued = await made.ca.issue({ kind: "P-256", spki: generateKey().signer.spki }, DEVICE, 90 * DAY_MS, end - DAY_MS);
    expect(issued.notAfter).to.equal(end);
  });
});

describe("a CRL", () => {
  it("says its number, its times and each entry's serial, time and reason, as openssl reads it", async () => {
    using made = await authority("P-256", NOW);
    const { issuer, folder } = made;
    const first = crlEntries([
      { serial: "80".repeat(16), revokedAt: NOW - 5_500, reason: "unspecified" },
      { serial: "1", revokedAt: NOW, reason: "privilegeWithdrawn" },
    ]);
    const last = crlEntries([{ serial: "0fab", revokedAt: Date.UTC(2050, 0, 1), reason: "keyCompromise" }]);
    const der = await signCrl(issuer, facts(1_790_000_000, NOW), [first, last]);
    const text = folder.run("crl", "-inform", "DER", "-in", folder.write("l.der", der), "-noout", "-text").toString();
    expect(text).to.include("Version 2 (0x1)");
    expect(text).to.match(/X509v3 CRL Number: \n +1790000000\n/);
    expect(text).to.match(/X509v3 Authority Key Identifier: \n +([0-9A-F]{2}:){19}[0-9A-F]{2}\n/);
    expect(
      [...text.matchAll(/Serial Number: ([0-9A-F]+)\n +Revocation Date: (.*)\n/g)].map(([, serial, at]) => [serial, at]),
    ).to.deep.equal([
      ["80".repeat(16), "Nov 23 11:59:54 2026 GMT"],
      ["01", "Nov 23 12:00:00 2026 GMT"],
      ["0FAB", "Jan  1 00:00:00 2050 GMT"],
    ]);
    expect([...text.matchAll(/CRL Reason Code: \n +(.*)\n/g)].map(([, reason]) => reason)).to.deep.equal([
      "Privilege Withdrawn",
      "Key Compromise",
    ]);
    const none = await signCrl(issuer, facts(255, NOW), [crlEntries([])]);
    expect(readCrlFacts(none)).to.deep.equal(facts(255, NOW));
    expect(folder.run("crl", "-inform", "DER", "-in", folder.write("none.der", none), "-noout", "-text").toString()).to.match(
      /No Revoked Certificates\./,
    );
  });

  it("of 100,000 entries is read whole by openssl", async () => {
    using made = await authority("P-256", NOW);
    const serialOf = (index: number) => (0xf0000000 + index).toString(16).padStart(32, "7");
    const revoked = Array.from({ length: 100_000 }, (_, index) => ({
      serial: serialOf(index),
      revokedAt: NOW + index * 1_000,
      reason: "privilegeWithdrawn" as const,
    }));
    const der = await signCrl(made.issuer, facts(1, NOW), [crlEntries(revoked)]);
    const text = made.folder.run("crl", "-inform", "DER", "-in", made.folder.write("l.der", der), "-noout", "-text").toString();
    const serials = [...text.matchAll(/Serial Number: ([0-9A-F]+)\n/g)].map(([, serial]) => serial?.toLowerCase());
    expect(serials.length).to.equal(100_000);
    expect(serials.findIndex((serial, index) => serial !== serialOf(index))).to.equal(-1);
  });
});
