import { X509Certificate } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { URN } from "../../lib/service.ts";
import { caId, type Issued } from "./authority.ts";
import { BACKDATE_MS } from "./certificate.ts";
import type { ProvenRequest } from "./csr.ts";
import type { DeviceCa } from "./device.ts";
import { commonNameIn } from "./issuer-of.ts";
import type { CaService } from "./service.ts";

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

/** The CA for devices where it is a service. What it makes is believed only when it is what was asked for. @param certificate PEM */
export function createServiceDeviceCa(certificate: string, service: CaService): DeviceCa {
  const own = new X509Certificate(certificate);
  const end = Date.parse(own.validTo);
  const issuer = commonNameIn(certificate);
  return {
    id: caId("device CA", own.publicKey.export({ type: "spki", format: "der" })),
    chain: certificate,
    issue: async (request, device, lifeMs, now) => {
      // AWS Private CA has no Ed25519.
      if (request.kind === "Ed25519")
        throw new Problem(422, "csr_key_type", "The key of a certificate request must be P-256, P-384 or RSA here: the CA signs no other.");
      const subject = URN.device + device;
      const [notBefore, notAfter] = [seconds(now - BACKDATE_MS), seconds(Math.min(now + lifeMs, end))];
      const pem = await service.issue({ csr: request.der, subject, notBefore, notAfter });
      return asWanted(pem, own, { request, subject, issuer, notAfter });
    },
  };
}

const seconds = (ms: number): number => Math.floor(ms / 1_000);

interface Wanted {
  readonly request: ProvenRequest;
  readonly subject: string;
  readonly issuer: string;
  readonly notAfter: number;
}

/** A service's template, or its operator, may add what nobody asked for: a name, a use, a longer life. */
function asWanted(pem: string, ca: X509Certificate, { request, subject, issuer, notAfter }: Wanted): Issued {
  const made = new X509Certificate(pem);
  const refused = [
    [made.verify(ca.publicKey) && made.checkIssued(ca), "is not of this CA"],
    [made.publicKey.export({ type: "spki", format: "der" }).equals(request.spki), "is for another key"],
    [made.subject === `CN=${subject}`, "has another subject"],
    [made.subjectAltName === `URI:${subject}`, "has other names"],
    [!made.ca, "is a CA's"],
    [made.keyUsage?.join() === CLIENT_AUTH, "is for other uses"],
    [Date.parse(made.validTo) <= notAfter * 1_000, "lasts longer"],
  ].flatMap(([right, what]) => (right === true ? [] : [what]));
  if (refused.length > 0) throw new Error(`The CA's service made another certificate than it was asked for: it ${refused.join(", ")}`);
  return {
    pem: made.toString(),
    fingerprint: made.fingerprint256.replaceAll(":", "").toLowerCase(),
    serial: made.serialNumber.toLowerCase(),
    issuer,
    subject,
    notBefore: Date.parse(made.validFrom),
    notAfter: Date.parse(made.validTo),
  };
}
