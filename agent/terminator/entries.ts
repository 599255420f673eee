import type { z } from "zod";
import { prefixOf } from "../../lib/ip.ts";
import { decodePem, encodePem } from "../../lib/pem.ts";
import { type BindingBody, bindingSchema, type CertificateBody, type CrlBody, certificateSchema, crlSchema } from "../trust-bodies.ts";

/** Prefix lengths that bindings use, per family: HAProxy does one look-up for each. */
export interface BindingLengths {
  readonly v4: readonly number[];
  readonly v6: readonly number[];
}

/** A trust entry's body is not what the registry may send (docs/protocol.md): the agent's own check let it through, so it is a fault. */
export class TrustBodyError extends Error {}

/** One line of a map: the key that HAProxy looks up, and what it finds. */
export interface MapEntry {
  readonly key: string;
  readonly value: string;
}

/** As a map's line and the command line of HAProxy have it. */
export const mapText = ({ key, value }: MapEntry): string => `${key} ${value}`;

/** HAProxy writes a fingerprint in capitals. */
export const certificateKey = (fingerprint: string): string => fingerprint.toUpperCase();

/** A line of the map of those that were taken back. @param fingerprint or its key */
export const goneEntry = (fingerprint: string): MapEntry => ({ key: certificateKey(fingerprint), value: "1" });

/**
 * The number that a certificate's connections are kept track of by. Two certificates may share one: what is cut then for the one is
 * opened again by the other's client.
 */
export const connectionNumber = (fingerprint: string): number => Number.parseInt(fingerprint.slice(0, 8), 16);

/** `NUMBER|PATTERN|DEVICE|SUBJECT|END`, the subject percent-encoded: it is a person's words, and goes into a header. */
export function certificateEntry(fingerprint: string, { device, pattern, subject, notAfter }: CertificateBody): MapEntry {
  return {
    key: certificateKey(fingerprint),
    value: `${connectionNumber(fingerprint)}|${pattern}|${device}|${encodeURIComponent(subject)}|${seconds(notAfter)}`,
  };
}

/** `DEVICE|PREFIX` until a time in whole seconds. @param id "DEVICE PREFIX" */
export const bindingEntry = (id: string, { expiresAt }: BindingBody): MapEntry => ({
  key: bindingKey(id),
  value: String(seconds(expiresAt)),
});

/** As HAProxy's `date` counts, which the end of a certificate or binding is compared with. */
export const seconds = (time: number): number => Math.floor(time / 1_000);

export const bindingKey = (id: string): string => id.replace(" ", "|");

/** The id whose key it is. */
export const bindingId = (key: string): string => key.replace("|", " ");

export const readBinding = (body: string): BindingBody => parsed(bindingSchema, body);
export const readCertificate = (body: string): CertificateBody => parsed(certificateSchema, body);
export const readCrl = (body: string): CrlBody => parsed(crlSchema, body);

/** PEM of a CRL whose DER came in base64. */
export const crlPem = (der: string): string => encodePem("X509 CRL", Buffer.from(der, "base64"));

/** DER of a certificate, to tell it from others whatever its PEM looks like. @throws TrustBodyError */
export function certificateDer(pem: string): Buffer {
  const der = decodePem("CERTIFICATE", pem);
  if (der === null) throw new TrustBodyError("a CA is not one PEM certificate");
  return der;
}

/** The prefix lengths that binding ids have. */
export function lengthsOf(ids: Iterable<string>, always: BindingLengths): BindingLengths {
  const v4 = new Set(always.v4);
  const v6 = new Set(always.v6);
  for (const id of ids) {
    const length = Number(id.slice(id.lastIndexOf("/") + 1));
    (id.includes(":") ? v6 : v4).add(length);
  }
  const sorted = (set: ReadonlySet<number>) => [...set].sort((a, b) => a - b);
  return { v4: sorted(v4), v6: sorted(v6) };
}

/** True when the address lies in the prefix of a binding's id. */
export function holds(id: string, family: 4 | 6, address: string): boolean {
  const [, prefix = ""] = id.split(" ");
  const slash = prefix.indexOf("/");
  if (prefix.includes(":") !== (family === 6)) return false;
  return prefixOf(family, address, Number(prefix.slice(slash + 1))).address === prefix.slice(0, slash);
}

function parsed<S extends z.ZodType>(schema: S, body: string): z.output<S> {
  try {
    return schema.parse(JSON.parse(body));
  } catch (cause) {
    throw new TrustBodyError("a trust entry's body does not fit", { cause });
  }
}
