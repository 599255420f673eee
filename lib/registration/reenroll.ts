import { Problem } from "../problem.ts";

/** None was shown, or it is none of a live device: one answer for all, by register at once and by control again. */
export const clientCertificateRefused = (): Problem =>
  new Problem(403, "client_certificate", "Show a live certificate of this registry's devices in the TLS handshake.");

export const reenrollRefused = (): Problem =>
  new Problem(403, "reenroll_refused", "This profile renews by a proof alone: use 'entityos renew', or ask the operator.");
