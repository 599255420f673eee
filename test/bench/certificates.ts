import { createPrivateKey, sign } from "node:crypto";
import { makeIntermediate, makeRoot } from "../../registry/ca/authority.ts";
import { createDeviceCa } from "../../registry/ca/device.ts";
import { issuerOf } from "../../registry/ca/issuer-of.ts";
import { generateKey } from "../../registry/ca/signer.ts";
import type { Measured, Wish } from "./stats.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const HOUR_MS = 3_600_000;
/** Certificates in one sample: one alone is too short to be timed. */
const AT_ONCE = 50;
const WARMUP = 20;
/** About what is signed of a certificate, bytes. */
const BODY_BYTES = 430;

/** Fifty certificates for P-256 keys by a P-256 CA, beside as many bare signatures of node:crypto, in turns, on one core. */
export async function measureCertificates({ samples, progress, signal }: Wish): Promise<Measured> {
  progress("certificates: measuring");
  const [root, ca, device] = [generateKey(), generateKey(), generateKey()];
  const now = Date.now();
  const top = issuerOf(await makeRoot(root.signer, now), root.signer);
  const issuing = createDeviceCa(await makeIntermediate("device CA", top, ca.signer, now), ca.signer, "https://register.example");
  const [key, body] = [createPrivateKey(ca.pem), Buffer.alloc(BODY_BYTES, 7)];
  const measured: Measured = { what: `${AT_ONCE} certificates (P-256)`, samples: [], floor: [] };
  for (let i = 0; i < samples + WARMUP; i++) {
    signal.throwIfAborted();
    const begun = performance.now();
    for (let each = 0; each < AT_ONCE; each++) await issuing.issue({ kind: "P-256", spki: device.signer.spki }, DEVICE, HOUR_MS, now);
    const between = performance.now();
    for (let each = 0; each < AT_ONCE; each++) sign("sha256", body, key);
    const ended = performance.now();
    if (i < WARMUP) continue;
    measured.samples.push(between - begun);
    measured.floor.push(ended - between);
  }
  return measured;
}
