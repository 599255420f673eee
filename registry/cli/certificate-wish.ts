import type { KeyObject } from "node:crypto";
import { Problem } from "../../lib/problem.ts";
import { makeCsrFor } from "../ca/csr.ts";
import { UsageError } from "./command.ts";
import { type HeldCertificate, installCertificate, KEY_TYPES, type KeyType, prepareKey } from "./device-certificate.ts";
import { isFresh } from "./device-request.ts";
import { dropPending, readPending } from "./device-state.ts";
import type { Io } from "./io.ts";
import { PKCS12_OPTIONS, type Pkcs12Target, pkcs12Target, writePkcs12 } from "./pkcs12.ts";
import type { Registered } from "./submit.ts";

/** Options of every command that gets a certificate. */
export const CERTIFICATE_OPTIONS = {
  ...PKCS12_OPTIONS,
  certificate: { type: "boolean", default: false },
  "key-type": { type: "string" },
} as const;

export const CERTIFICATE_HELP = `  --key-type TYPE   ${KEY_TYPES.join(", ")} (default: ${KEY_TYPES[0]}, or what the certificate before has)
  --pkcs12 FILE     also writes key, certificate and chain as one PKCS #12 file, for browsers and keyrings
  --pkcs12-password-file FILE  file with its password; - is standard input (default: it is asked for on the terminal)`;

/** What is to be asked for beside addresses, settled before anything is sent. */
export interface CertificateWish {
  readonly keyType: KeyType;
  /** The key of the certificate before, instead of a new one. */
  readonly sameKey: boolean;
  readonly pkcs12: Pkcs12Target | null;
}

/** A wish with its key on disk, and the request for it in PEM. */
export interface Requested extends CertificateWish {
  readonly key: KeyObject;
  readonly csr: string;
}

/**
 * @param wanted whether a certificate is asked for, by an option or because there is one
 * @throws UsageError | Problem, those of {@link pkcs12Target}
 */
export async function certificateWish(
  values: Parameters<typeof pkcs12Target>[0] & { readonly "key-type"?: string | undefined; readonly "same-key"?: boolean },
  { wanted, before }: { readonly wanted: boolean; readonly before: HeldCertificate | null },
  io: Io,
): Promise<CertificateWish | null> {
  const { "key-type": type, "same-key": sameKey = false } = values;
  if (!wanted) {
    if (type !== undefined || sameKey || values.pkcs12 !== undefined || values["pkcs12-password-file"] !== undefined)
      throw new UsageError("Options of a certificate go with --certificate.");
    return null;
  }
  if (sameKey && type !== undefined) throw new UsageError("--same-key and --key-type exclude each other.");
  const keyType = type === undefined ? (before?.keyType ?? "P-256") : KEY_TYPES.find((known) => known === type);
  if (keyType === undefined) throw new UsageError(`--key-type is one of ${KEY_TYPES.join(", ")}: '${type}' is none.`);
  return { keyType, sameKey, pkcs12: await pkcs12Target(values, io) };
}

/** Puts the key on disk, then makes the request for it. */
export async function requestCertificate(folder: string, wish: CertificateWish | null, io: Io): Promise<Requested | null> {
  if (wish === null) return null;
  const pending = readPending(folder);
  const key = await prepareKey(folder, {
    type: wish.keyType,
    same: wish.sameKey,
    isPending: pending !== null && isFresh(pending, io.now()),
    forget: () => dropPending(folder),
  });
  return { ...wish, key, csr: await makeCsrFor(key) };
}

/**
 * Keeps what was answered: the files in use, and the PKCS #12 file.
 * @throws Problem certificate_unfit | answer_unreadable
 */
export function keepCertificate(folder: string, requested: Requested | null, { certificate, device }: Registered): HeldCertificate | null {
  if (requested === null) return null;
  if (certificate === null) throw new Problem(502, "answer_unreadable", "The answer holds no certificate, though one was asked for.");
  const { key, pkcs12 } = requested;
  const held = installCertificate(folder, key, device, certificate);
  const chain = certificate.chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (pkcs12 !== null) writePkcs12(pkcs12, { key, certificate: certificate.pem, chain, name: `entityos ${device}` });
  return held;
}
