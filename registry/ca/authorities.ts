import { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { type CaRole, caId, caName } from "./authority.ts";
import { createIssuer, type Issuer } from "./certificate.ts";
import { createDeviceCa, type DeviceCa } from "./device.ts";
import { fileOf, openIntermediate } from "./files.ts";
import { type RootCrl, readRootCrl } from "./root-crl.ts";
import { loadSigner, type Signer } from "./signer.ts";

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
  /** Null in a registry from before there was one: `init` or `migrate` makes it. */
  readonly device: DeviceCa | null;
  /** The root first. */
  readonly all: readonly Authority[];
}

/** Opens the CAs of the folder. The root's key is used where it is there. @throws PkiError | KeyError */
export function openAuthorities(folder: string, registerUrl: string): Authorities {
  const infrastructure = openIntermediate(folder, "infrastructure");
  const rootSigner = existsSync(fileOf(folder, "root", "key")) ? loadSigner(fileOf(folder, "root", "key")) : null;
  const all = [
    authority("root", infrastructure.root, rootSigner, readRootCrl(folder)),
    authority("infrastructure CA", infrastructure.certificate, infrastructure.signer, null),
  ];
  if (!existsSync(fileOf(folder, "device", "crt"))) return { device: null, all };
  const device = openIntermediate(folder, "device");
  return {
    device: createDeviceCa(device.certificate, device.signer, registerUrl),
    all: [...all, authority("device CA", device.certificate, device.signer, null)],
  };
}

function authority(role: CaRole, certificate: string, signer: Signer | null, kept: RootCrl | null): Authority {
  const own = new X509Certificate(certificate);
  const spki = own.publicKey.export({ type: "spki", format: "der" });
  const name = caName(role, { spki });
  const issuer = signer === null ? null : createIssuer(name, signer);
  return { id: caId(role, spki), role, name, certificate, notAfter: Date.parse(own.validTo), issuer, kept };
}
