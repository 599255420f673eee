import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { Problem } from "../../lib/problem.ts";
import { UsageError } from "./command.ts";
import type { Endpoint } from "./http.ts";

const ADDRESS_HINT = "Are the address and the CA right, and does the network let you there?";

interface TlsFiles {
  readonly ca: string | undefined;
  /** Who asks; without it nobody in particular. */
  readonly own?: { readonly certificate: string; readonly key: string };
}

/**
 * An HTTPS server; with a certificate of one's own it is control, without it register.
 * @param family IP version to connect over; 0 is either
 * @throws UsageError | Problem file_unreadable, file_unusable
 */
export function tlsEndpoint(url: string, files: TlsFiles, option: string, family: 0 | 4 | 6 = 0): Endpoint {
  const { hostname, port } = parseHttpsUrl(url, option);
  const tls = { ...(files.ca === undefined ? {} : { ca: readCertificate(files.ca) }), ...readOwn(files.own) };
  return {
    what: url,
    hint: `${ADDRESS_HINT}${files.own === undefined ? "" : `\nIs the certificate in ${files.own.certificate} one of its operators', and not revoked (entityos cert list)?`}`,
    open: (options, onAnswer) => request({ ...options, ...tls, hostname, port, family, agent: false, minVersion: "TLSv1.2" }, onAnswer),
  };
}

/** @throws UsageError unless it is https://HOST[:PORT] and nothing more */
export function parseHttpsUrl(text: string, option: string): { readonly hostname: string; readonly port: number } {
  const url = URL.canParse(text) ? new URL(text) : null;
  const plain =
    url !== null && url.protocol === "https:" && url.pathname === "/" && url.search + url.hash + url.username + url.password === "";
  if (url === null || !plain) throw new UsageError(`--${option} is https://HOST or https://HOST:PORT: '${text}' is not.`);
  return { hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"), port: url.port === "" ? 443 : Number(url.port) };
}

function readOwn(own: TlsFiles["own"]): { readonly cert?: string; readonly key?: string } {
  if (own === undefined) return {};
  const cert = readCertificate(own.certificate);
  const key = readFile(own.key);
  const privateKey = usable(own.key, "private key", () => createPrivateKey(key));
  if (!new X509Certificate(cert).checkPrivateKey(privateKey))
    throw new Problem(422, "file_unusable", `${own.key} is not the key of the certificate in ${own.certificate}.`);
  return { cert, key };
}

/** PEM of one certificate or more. @throws Problem file_unreadable | file_unusable */
export function readCertificate(file: string): string {
  const pem = readFile(file);
  usable(file, "certificate", () => new X509Certificate(pem));
  return pem;
}

function usable<T>(file: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new Problem(422, "file_unusable", `Cannot use ${file} as a ${what}: it holds none in PEM, or one that is encrypted.`, { cause });
  }
}

/** @throws Problem file_unreadable */
export function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Problem(
      422,
      "file_unreadable",
      `Cannot read ${file}: ${cause instanceof Error && "code" in cause ? String(cause.code) : String(cause)}`,
      { cause },
    );
  }
}
