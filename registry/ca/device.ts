import { X509Certificate } from "node:crypto";
import { URN } from "../../lib/service.ts";
import { caId, type Issued, issue } from "./authority.ts";
import type { CertificateRequest, ProvenRequest } from "./csr.ts";
import { issuerOf } from "./issuer-of.ts";
import type { Signer } from "./signer.ts";

/** The CA for devices. What a certificate says comes from registry and profile, the key alone from the request (DESIGN §6). */
export interface DeviceCa {
  /** "device-1a2b3c4d", as in the URL of its CRL. */
  readonly id: string;
  /** PEM of its certificate: the chain that goes behind each of its certificates. */
  readonly chain: string;
  /** @param lifeMs how long it is to last; never longer than the CA itself */
  issue(request: ProvenRequest, device: string, lifeMs: number, now: number): Promise<Issued>;
}

/** A device CA whose key is ours to sign with: the proof was seen, the request itself is not needed any more. */
export interface OwnDeviceCa extends DeviceCa {
  issue(request: CertificateRequest, device: string, lifeMs: number, now: number): Promise<Issued>;
}

/** @param certificate in PEM, @param signer with its key, @param registerUrl where the register role answers: "https://register.example" */
export function createDeviceCa(certificate: string, signer: Signer, registerUrl: string): OwnDeviceCa {
  const issuer = issuerOf(certificate, signer);
  const end = Date.parse(new X509Certificate(certificate).validTo);
  const id = caId("device CA", signer.spki);
  const crlUrl = `${registerUrl}/v1/crl/${id}.der`;
  return {
    id,
    chain: certificate,
    issue: ({ spki }, device, lifeMs, now) => {
      const urn = URN.device + device;
      const template = { subject: urn, spki, now, names: [{ kind: "uri", value: urn }], uses: ["clientAuth"], crlUrl } as const;
      return issue(issuer, urn, template, { lifeMs, end });
    },
  };
}
