import { OWN_SIGNATURE } from "../algorithms.ts";
import { KeyError } from "../key-error.ts";
import { writeKeyReference } from "../key-reference.ts";
import { FILE_KEYS, type KeyStore, type Signer } from "../signer.ts";
import { signerUnavailable } from "../signer-unavailable.ts";
import { nextArn } from "./next-arn.ts";
import type { Pca, PcaName } from "./pca.ts";

/** The device CA is AWS Private CA's; root and infrastructure CA have their keys in files. @param authorities in the order that rotations take them */
export function pcaKeys(open: (name: PcaName) => Pca, authorities: readonly PcaName[]): KeyStore {
  const opened = new Map<string, Pca>();
  const named = (arn: string): Pca => {
    const name = authorities.find((one) => one.arn === arn);
    if (name === undefined) throw new KeyError(`it names ${arn}, which ca.signer does not`);
    const pca = opened.get(arn) ?? open(name);
    opened.set(arn, pca);
    return pca;
  };
  return {
    make: async (role, folder, kind) => {
      if (role !== "device") return FILE_KEYS.make(role, folder, kind);
      const arn = nextArn(
        folder,
        authorities.map((one) => one.arn),
        "ca.signer.authorities",
      );
      const pca = named(arn);
      const { spki } = await pca.request();
      return { signer: signerOf(arn, spki, pca), pem: writeKeyReference({ arn, spki }) };
    },
    open: ({ arn, spki }) => signerOf(arn, spki, named(arn)),
  };
}

function signerOf(arn: string, spki: Buffer, pca: Pca): Signer {
  pca.know(spki);
  return {
    spki,
    algorithm: OWN_SIGNATURE["P-256"],
    service: pca,
    get failingSince() {
      return pca.failingSince;
    },
    sign: () => Promise.reject(signerUnavailable(new KeyError(`${arn} makes certificates and signs nothing else`))),
  };
}
