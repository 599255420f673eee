import { readFileSync } from "node:fs";
import { request } from "node:https";
import { Problem } from "../../lib/problem.ts";
import { UsageError } from "./command.ts";
import type { Endpoint } from "./http.ts";

/**
 * An HTTPS server; with certificate and key it is control, without them register.
 * @param family IP version to connect over; 0 is either
 */
export function tlsEndpoint(
  url: string,
  files: { readonly ca: string | undefined; readonly certificate?: string; readonly key?: string },
  option: string,
  family: 0 | 4 | 6 = 0,
): Endpoint {
  const { hostname, port } = parseHttpsUrl(url, option);
  const tls = {
    ...(files.ca === undefined ? {} : { ca: readFile(files.ca) }),
    ...(files.certificate === undefined ? {} : { cert: readFile(files.certificate) }),
    ...(files.key === undefined ? {} : { key: readFile(files.key) }),
  };
  return {
    what: url,
    hint: "Are the address and the CA right, and does the network let you there?",
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
