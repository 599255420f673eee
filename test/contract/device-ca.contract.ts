import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import { encodePem } from "../../lib/pem.ts";
import type { KeyKind } from "../../registry/ca/algorithms.ts";
import { type ProvenRequest, parseCsrPem } from "../../registry/ca/csr.ts";
import type { DeviceCa } from "../../registry/ca/device.ts";
import { opensslFolder } from "../registry/ca/openssl.ts";

export const CONTRACT_NOW = Date.now();
const HOUR_MS = 3_600_000;
const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";

/** A device CA as it is under test. */
export interface OpenedDeviceCa {
  readonly ca: DeviceCa;
  /** PEM. */
  readonly root: string;
}

/** What every device CA must do alike, whoever has its key. @param kinds of keys that it makes certificates for */
export function deviceCaContract(name: string, kinds: readonly Exclude<KeyKind, "RSA">[], open: () => Promise<OpenedDeviceCa>): void {
  describe(`${name} as the device CA`, () => {
    let opened: OpenedDeviceCa;
    before(async () => {
      opened = await open();
    });

    /** A request that asks for what nobody may ask for: made by openssl. */
    function request(kind: Exclude<KeyKind, "RSA">): ProvenRequest {
      using openssl = opensslFolder();
      const algorithm = kind === "Ed25519" ? ["-newkey", "ed25519"] : ["-newkey", "ec", "-pkeyopt", `ec_paramgen_curve:${kind}`];
      const wishes = [
        "-addext",
        "subjectAltName=URI:urn:entityos:device:other,DNS:control",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
      ];
      const words = ["req", "-new", ...algorithm, "-noenc", "-keyout", "key.pem", "-subj", "/CN=root/O=Somebody", ...wishes];
      return parseCsrPem(openssl.run(...words).toString());
    }

    it("stands below the root, and openssl believes it", () => {
      using openssl = opensslFolder();
      openssl.run("verify", "-x509_strict", "-CAfile", openssl.write("root.pem", opened.root), openssl.write("ca.pem", opened.ca.chain));
      expect(opened.ca.id).to.match(/^device-[0-9a-f]{8}$/);
    });

    for (const kind of kinds) {
      it(`certifies a key on ${kind} for that device and nothing that its request asks for`, async () => {
        const { ca, root } = opened;
        const asked = request(kind);
        const issued = await ca.issue(asked, DEVICE, HOUR_MS, CONTRACT_NOW);
        const made = new X509Certificate(issued.pem);
        const urn = `urn:entityos:device:${DEVICE}`;
        expect([made.subject, made.subjectAltName, made.ca, made.keyUsage]).to.deep.equal([
          `CN=${urn}`,
          `URI:${urn}`,
          false,
          ["1.3.6.1.5.5.7.3.2"],
        ]);
        expect(made.publicKey.export({ type: "spki", format: "der" }).equals(asked.spki)).to.equal(true);
        expect(issued).to.deep.include({ subject: urn, serial: made.serialNumber.toLowerCase(), pem: encodePem("CERTIFICATE", made.raw) });
        expect(issued.fingerprint).to.equal(made.fingerprint256.replaceAll(":", "").toLowerCase());
        expect([Date.parse(made.validFrom), Date.parse(made.validTo)]).to.deep.equal([issued.notBefore, issued.notAfter]);
        using openssl = opensslFolder();
        const files = ["-CAfile", openssl.write("root.pem", root), "-untrusted", openssl.write("ca.pem", ca.chain)];
        openssl.run("verify", "-x509_strict", "-purpose", "sslclient", ...files, openssl.write("device.pem", issued.pem));
      });
    }

    it("makes it last as long as it is to, from a minute before, and never longer than itself", async () => {
      const asked = request("P-256");
      const end = Date.parse(new X509Certificate(opened.ca.chain).validTo);
      const seconds = (ms: number) => Math.floor(ms / 1_000) * 1_000;
      const short = await opened.ca.issue(asked, DEVICE, HOUR_MS, CONTRACT_NOW);
      expect([short.notBefore, short.notAfter]).to.deep.equal([seconds(CONTRACT_NOW - 60_000), seconds(CONTRACT_NOW + HOUR_MS)]);
      expect((await opened.ca.issue(asked, DEVICE, 100 * 365 * 24 * HOUR_MS, CONTRACT_NOW)).notAfter).to.equal(end);
    });

    it("gives each a number of its own, many at once", async () => {
      const asked = request("P-256");
      const all = await Promise.all(Array.from({ length: 20 }, () => opened.ca.issue(asked, DEVICE, HOUR_MS, CONTRACT_NOW)));
      expect(new Set(all.map(({ serial }) => serial)).size).to.equal(20);
      expect(new Set(all.map(({ issuer }) => issuer)).size).to.equal(1);
    });
  });
}
