import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { csrFromPem } from "../../../lib/registration/csr.ts";
import type { KeyKind } from "../../../registry/ca/algorithms.ts";
import { type Authorities, openAuthorities } from "../../../registry/ca/authorities.ts";
import { makeKeyAndCsr } from "../../../registry/ca/csr.ts";
import type { DeviceCa } from "../../../registry/ca/device.ts";
import { makePki } from "../../../registry/ca/files.ts";

/** CAs made anew, as `init` makes them; nothing of them stays on disk. @param now when they were made */
export async function testAuthorities(now = Date.now()): Promise<Authorities & { readonly device: DeviceCa }> {
  const folder = mkdtempSync(join(tmpdir(), "entityos-ca-"));
  try {
    await makePki(folder, now);
    return authoritiesIn(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The CAs of a folder as they are now: no generations come and go. */
export function authoritiesIn(folder: string): Authorities & { readonly device: DeviceCa } {
  const authorities = openAuthorities(folder, "https://register.example");
  const { device, infrastructure, all, crosses, rootFile } = authorities;
  if (device === null) throw new Error("there is no device CA");
  return {
    ...{ device, infrastructure, all, crosses, rootFile },
    anchors: () => authorities.anchors(),
    activate: () => {},
    makeNext: () => Promise.reject(new Error("no folder")),
    remove: () => {},
    watch: (changed) => authorities.watch(changed),
  };
}

/** DER of a request for a key that nobody keeps. */
export const csr = async (kind: KeyKind = "P-256"): Promise<Buffer> => csrFromPem((await makeKeyAndCsr("whatever", kind)).csr);
