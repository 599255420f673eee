import type { RevocationReason } from "../../lib/admin/api.ts";
import type { CrlFacts } from "./crl.ts";

/** A list that was made elsewhere, and verified. */
export interface ReadyCrl extends CrlFacts {
  readonly der: Buffer;
}

/** What a service is asked to make. Times are whole seconds since 1970. */
export interface ServiceRequest {
  /** PKCS #10, DER: proof that the key is held. Nothing but the key is taken from it. */
  readonly csr: Buffer;
  /** Common name, and the only name beside it: a URI. */
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * A device CA that is somebody else's service: it makes certificates and its list itself and signs nothing else that it is given.
 * Each of these throws Problem signer_unavailable.
 */
export interface CaService {
  /** Since when it does not answer as it is to, integer milliseconds; null while the last answer was right. */
  readonly failingSince: number | null;
  /** The certificate that it has under that root; null while it waits for its first. @throws KeyError when it has another one */
  certificateUnder(root: string): Promise<string | null>;
  /** Its distinguished name as it asks to be called, DER. */
  subject(): Promise<Buffer>;
  /** Gives it its certificate. Both PEM. */
  install(certificate: string, root: string): Promise<void>;
  /** @returns PEM @throws Problem csr_format when it does not take the request */
  issue(request: ServiceRequest): Promise<string>;
  /** Once revoked stays so: a second time changes nothing. @param serial lower-case hex */
  revoke(serial: string, reason: RevocationReason): Promise<void>;
  /** Its newest list; null while there is none. */
  list(): Promise<ReadyCrl | null>;
}
