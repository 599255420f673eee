import type { X509Certificate } from "node:crypto";

/** From when to when a certificate counts, integer milliseconds. */
export interface CertificateLife {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Whoever renews a server's certificate does so long before: with a third of its life left, or a month. */
const NEAR_MS = 7 * 24 * 60 * 60_000;
const NEAR_PART = 4;

export const lifeOf = ({ validFrom, validTo }: Pick<X509Certificate, "validFrom" | "validTo">): CertificateLife => ({
  notBefore: Date.parse(validFrom),
  notAfter: Date.parse(validTo),
});

/** A server's certificate that ends within a week, or a quarter of its life where that is less, or has ended: whoever renews it has failed. */
export const endsSoon = ({ notBefore, notAfter }: CertificateLife, now: number): boolean =>
  notAfter - now < Math.min(NEAR_MS, (notAfter - notBefore) / NEAR_PART);
