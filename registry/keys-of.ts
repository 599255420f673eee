import type { Clock } from "../lib/clock.ts";
import { awsParts } from "./ca/aws/api.ts";
import { Kms } from "./ca/aws/kms.ts";
import { kmsKeys } from "./ca/aws/kms-keys.ts";
import { Pca } from "./ca/aws/pca.ts";
import { pcaKeys } from "./ca/aws/pca-keys.ts";
import { FILE_KEYS, type KeyStore } from "./ca/signer.ts";
import type { RegistryConfig } from "./config.ts";

/** Where this registry's CAs have their keys. Asks nobody. @param signal ends requests to a key service */
export function keysOf({ ca: { signer } }: Pick<RegistryConfig, "ca">, clock: Clock, signal?: AbortSignal): KeyStore {
  switch (signer.kind) {
    case "file":
      return FILE_KEYS;
    case "kms":
      return kmsKeys(new Kms(awsParts(process.env, clock, signal), signer.endpoint), signer);
    case "acmPca": {
      const parts = awsParts(process.env, clock, signal);
      return pcaKeys((name) => new Pca(parts, name, signer.endpoint), signer.authorities);
    }
    default:
      return signer satisfies never;
  }
}
