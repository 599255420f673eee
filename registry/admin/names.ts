import { isIPv6 } from "node:net";

/** How control is called, told by its configuration and never by a request. */
export interface OwnNames {
  /** Whether a request's Host (RFC 9110 §7.2) names control, on whatever port. */
  isHost(host: string | undefined): boolean;
  /** Whether an Origin (RFC 6454) is that of control's own pages. */
  isOrigin(origin: string): boolean;
}

const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i;

/** @param control names and addresses that the certificate is made for, and the port that control listens on */
export function ownNames({ names, port }: { readonly names: readonly string[]; readonly port: number }): OwnNames {
  const urls = names.flatMap((name) => URL.parse(`https://${isIPv6(name) ? `[${name}]` : name}:${port}`) ?? []);
  const hosts = new Set(urls.map(({ hostname }) => hostname));
  const origins = new Set(urls.map(({ origin }) => origin));
  return {
    isHost(host) {
      const name = HOST.exec(host ?? "")?.[1];
      const url = name === undefined ? null : URL.parse(`https://${name}`);
      return url !== null && hosts.has(url.hostname);
    },
    isOrigin: (origin) => origins.has(origin),
  };
}
