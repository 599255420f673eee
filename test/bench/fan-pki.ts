import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeKeyAndCsr, parseCsrPem } from "../../registry/ca/csr.ts";
import { makePki } from "../../registry/ca/files.ts";
import { openPki } from "../registry/ca/open.ts";

/** What agents of the bench show: one key and a certificate each. */
export interface FanIdentity {
  readonly name: string;
  readonly fingerprint: string;
  readonly certificate: string;
}
export interface FanPki {
  readonly root: string;
  readonly key: string;
  readonly agents: readonly FanIdentity[];
}

/** Of the bench's Storage, so that its agents know it without reading welcome. */
export const BENCH_EPOCH = "e1";
export const fanPkiFile = (folder: string): string => join(folder, "fan.json");
export const fanPkiFolder = (folder: string): string => join(folder, "pki");

/** Makes a CA and `count` agents' certificates in a folder. All agents have one key: only their names must differ. */
export async function makeFanPki(folder: string, count: number): Promise<void> {
  const now = Date.now();
  await makePki(fanPkiFolder(folder), now);
  const ca = openPki(fanPkiFolder(folder));
  const { key, csr } = await makeKeyAndCsr(null);
  const request = parseCsrPem(csr);
  const agents: FanIdentity[] = [];
  for (let n = 0; n < count; n++) {
    const issued = await ca.issueAgent(request, `host-${n}`, now);
    agents.push({ name: `host-${n}`, fingerprint: issued.fingerprint, certificate: issued.pem + ca.chain });
  }
  const pki: FanPki = { root: ca.root, key, agents };
  writeFileSync(fanPkiFile(folder), JSON.stringify(pki));
}
