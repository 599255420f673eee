import { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { type CaRole, caId } from "./authority.ts";
import type { Issuer } from "./certificate.ts";
import { createDeviceCa, type DeviceCa } from "./device.ts";
import { fileOf, openIntermediate } from "./files.ts";

import { type Generation, makeGeneration, openGenerations, removeGeneration } from "./generations.ts";
import { commonNameIn, issuerOf } from "./issuer-of.ts";
import { type RootCrl, readRootCrl } from "./root-crl.ts";
import { FILE_KEYS, type KeyStore, loadSigner, type Signer } from "./signer.ts";

/** A CA as CRLs and agents know it. */
export interface Authority {
  /** "device-1a2b3c4d". */
  readonly id: string;
  readonly role: CaRole;
  /** Its common name: issuer of what it signed. */
  readonly name: string;
  /** PEM. */
  readonly certificate: string;
  readonly notAfter: number;
  /** Null where its key is kept elsewhere: then its list is the one that came with it. */
  readonly issuer: Issuer | null;
  readonly kept: RootCrl | null;
}

/** Everything that Process signs with and tells of. */
export interface Authorities {
  /** The device CA that signs; null in a registry from before there was one: `init` makes it. */
  readonly device: DeviceCa | null;
  /** The root first, then the infrastructure CA, then every generation of the device CA. */
  readonly all: readonly Authority[];
  /** From now on that generation signs. What is not there signs nothing. */
  activate(id: string): void;
  /** Makes the next generation, which signs nothing yet. @throws PkiError when the root's key is not there | KeyError | Problem signer_unavailable */
  makeNext(now: number): Promise<Authority>;
  /** Forgets a generation for ever, its key first. */
  remove(id: string): void;
}

/** Opens the CAs of the folder. The root's key is used where it is there. @throws PkiError | KeyError */
export function openAuthorities(folder: string, registerUrl: string, keys: KeyStore = FILE_KEYS): Authorities {
  const infrastructure = openIntermediate(folder, "infrastructure", keys);
  const rootSigner = existsSync(fileOf(folder, "root", "key")) ? loadSigner(fileOf(folder, "root", "key"), keys) : null;
  const fixed = [
    authority("root", infrastructure.root, rootSigner, readRootCrl(folder)),
    authority("infrastructure CA", infrastructure.certificate, infrastructure.signer, null),
  ];
  const generations = new Map(openGenerations(folder, keys).map((generation) => [generation.id, opened(generation, registerUrl)]));
  let active = generations.keys().next().value;
  return {
    get device() {
      return active === undefined ? null : (generations.get(active)?.ca ?? null);
    },
    get all() {
      return [...fixed, ...[...generations.values()].map((one) => one.authority)];
    },
    activate: (id) => {
      active = id;
    },
    makeNext: async (now) => {
      const next = opened(await makeGeneration(folder, now, "P-256", keys), registerUrl);
      generations.set(next.authority.id, next);
      active ??= next.authority.id;
      return next.authority;
    },
    remove: (id) => {
      const generation = generations.get(id)?.generation;
      generations.delete(id);
      if (generation !== undefined) removeGeneration(folder, generation);
    },
  };
}

const opened = (generation: Generation, registerUrl: string) => ({
  generation,
  authority: authority("device CA", generation.certificate, generation.signer, null),
  ca: createDeviceCa(generation.certificate, generation.signer, registerUrl),
});

function authority(role: CaRole, certificate: string, signer: Signer | null, kept: RootCrl | null): Authority {
  const own = new X509Certificate(certificate);
  const spki = own.publicKey.export({ type: "spki", format: "der" });
  const issuer = signer === null ? null : issuerOf(certificate, signer);
  const name = commonNameIn(certificate);
  return { id: caId(role, spki), role, name, certificate, notAfter: Date.parse(own.validTo), issuer, kept };
}
