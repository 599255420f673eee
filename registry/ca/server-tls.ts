import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { heldCertificate, serverCertificate } from "./files.ts";
import { PkiError } from "./folder.ts";
import type { InfrastructureCa } from "./infrastructure.ts";

/** What a listener shows, PEM: the certificate with its chain. */
export interface TlsPair {
  readonly key: string;
  readonly certificate: string;
}

/** Where a listener's certificate comes from. */
export interface TlsSource {
  /** Asked again and again, it gives the same until there is a newer one. @throws PkiError | Problem signer_unavailable */
  newest(now: number): Promise<TlsPair>;
  /** The one from before, while it is good; null where there is none. Asks nobody. */
  held(now: number): TlsPair | null;
}

/** Of the infrastructure CA: made anew when a third of its life is left. */
export const ownTls = (folder: string, role: "register" | "control", names: readonly string[], ca: InfrastructureCa): TlsSource => ({
  newest: (now) => serverCertificate(folder, role, names, ca, now),
  held: (now) => heldCertificate(folder, role, now),
});

/** From files that somebody else renews, such as an ACME client. Both are read whole; they count when they fit together. */
export const tlsFromFiles = ({ certificate, key }: { readonly certificate: string; readonly key: string }): TlsSource => ({
  held: () => null,
  newest: async () => {
    try {
      const pair = { key: readFileSync(key, "utf8"), certificate: readFileSync(certificate, "utf8") };
      if (!new X509Certificate(pair.certificate).checkPrivateKey(createPrivateKey(pair.key)))
        throw new PkiError(`${key} is not the key of ${certificate}`);
      return pair;
    } catch (cause) {
      throw new PkiError(`Cannot use ${certificate} with ${key}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  },
});
