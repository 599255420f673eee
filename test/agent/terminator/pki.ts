import { generateKeyPairSync, hash } from "node:crypto";
import { caId, caName, makeIntermediate, makeRoot } from "../../../registry/ca/authority.ts";
import { createIssuer, type Issuer } from "../../../registry/ca/certificate.ts";
import { crlEntries, type Revoked, signCrl } from "../../../registry/ca/crl.ts";
import { createDeviceCa, type DeviceCa } from "../../../registry/ca/device.ts";
import { createInfrastructureCa } from "../../../registry/ca/infrastructure.ts";
import { issuerOf } from "../../../registry/ca/issuer-of.ts";
import { createSigner, generateKey, type Signer } from "../../../registry/ca/signer.ts";

export const HOUR_MS = 3_600_000;

/** A device's certificate and key, as a TLS client takes them. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
  readonly fingerprint: string;
  readonly serial: string;
  readonly issuer: string;
  readonly notAfter: number;
}

export interface Pki {
  readonly root: string;
  readonly rootId: string;
  /** PEM of the service's certificate with its chain, and of its key. */
  readonly service: { readonly certificate: string; readonly key: string };
  readonly deviceCaId: string;
  readonly deviceCa: string;
  /** The next certificate of the service: same key, names and CA. PEM with its chain. */
  renewedService(now: number): Promise<string>;
  /** Another device CA under the same root, in no bundle, and its list. */
  anotherDeviceCa(): Promise<DeviceCa & { readonly crl: string }>;
  issue(device: string, options?: { readonly lifeMs?: number; readonly now?: number; readonly ca?: DeviceCa }): Promise<ClientCertificate>;
  /** Body of a CRL on the feed, signed by the device CA or by the root. */
  crl(of: "device" | "root", number: number, revoked?: readonly Revoked[], times?: Times): Promise<string>;
}

/** A root with an infrastructure CA, a device CA and a service certificate for 127.0.0.1 and the other names. */
export async function makeTestPki(now = Date.now(), names: readonly string[] = []): Promise<Pki> {
  const [rootKey, infrastructureKey, deviceKey] = [generateKey().signer, generateKey().signer, generateKey().signer];
  const root = await makeRoot(rootKey, now);
  const top = issuerOf(root, rootKey);
  const infrastructure = createInfrastructureCa(
    await makeIntermediate("infrastructure CA", top, infrastructureKey, now),
    infrastructureKey,
  );
  const deviceCaCertificate = await makeIntermediate("device CA", top, deviceKey, now);
  const deviceCa = createDeviceCa(deviceCaCertificate, deviceKey, "https://register.example");
  const service = newKey();
  const serviceAt = async (at: number): Promise<string> => {
    const request = { kind: "P-256", spki: service.signer.spki } as const;
    const { pem } = await infrastructure.issueServer(request, ["127.0.0.1", "::1", "service.example", ...names], at);
    return pem + infrastructure.chain;
  };
  const issuers: Readonly<Record<"device" | "root", Issuer>> = {
    device: createIssuer(caName("device CA", deviceKey), deviceKey),
    root: top,
  };
  const usual: Times = { thisUpdate: now - HOUR_MS, nextUpdate: now + 24 * HOUR_MS };
  return {
    root,
    rootId: caId("root", rootKey.spki),
    service: { certificate: await serviceAt(now), key: service.pem },
    renewedService: serviceAt,
    deviceCaId: deviceCa.id,
    deviceCa: deviceCaCertificate,
    anotherDeviceCa: async () => {
      const key = generateKey().signer;
      const ca = createDeviceCa(await makeIntermediate("device CA", top, key, now), key, "https://register.example");
      return { ...ca, crl: await listOf(createIssuer(caName("device CA", key), key), 1, [], usual) };
    },
    issue: async (device, { lifeMs = HOUR_MS, now: at = now, ca = deviceCa } = {}) => {
      const own = newKey();
      const made = await ca.issue({ kind: "P-256", spki: own.signer.spki, der: Buffer.alloc(0) }, device, lifeMs, at);
      const { pem, fingerprint, serial, issuer, notAfter } = made;
      return { cert: pem + ca.chain, key: own.pem, fingerprint, serial, issuer, notAfter };
    },
    crl: (of, number, revoked = [], times = usual) => listOf(issuers[of], number, revoked, times),
  };
}

interface Times {
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

async function listOf(issuer: Issuer, number: number, revoked: readonly Revoked[], times: Times): Promise<string> {
  const der = await signCrl(issuer, { number, ...times }, [crlEntries(revoked)]);
  return JSON.stringify({ number, ...times, sha256: hash("sha256", der), bytes: der.length, der: der.toString("base64") });
}

function newKey(): { readonly signer: Signer; readonly pem: string } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { signer: createSigner(privateKey), pem: String(privateKey.export({ type: "pkcs8", format: "pem" })) };
}
