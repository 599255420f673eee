import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { expect } from "chai";
import { cli, type Ran, TestRegistry } from "./registry.ts";

interface Held {
  readonly serial: string;
  readonly fingerprint: string;
  readonly keyType: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A registry whose profiles give certificates, for the tests of one `describe`, and devices of its. */
export function certifiedScene() {
  let registry: TestRegistry;
  before(async () => {
    registry = await TestRegistry.start();
    for (const pattern of ["cert", "either", "both"]) {
      const more = ["--addresses", "any", "--address-lifetime", "6h", "--certificate-lifetime", "6h"];
      await registry.operator("profile", "set", pattern, "--pattern", pattern, ...more);
    }
    await registry.operator("profile", "set", "desktop", "--addresses", "any");
  });
  after(() => registry[Symbol.asyncDispose]());

  let number = 0;
  /** A name that no device of this scene has. */
  const another = (what: string): string => `${what}-${number++}`;
  const enroll = async (profile: string, ...more: string[]): Promise<Ran & { folder: string }> => {
    const folder = `certified-${number++}`;
    return { folder, ...(await registry.enroll(folder, await registry.code("--profile", profile), ...more)) };
  };
  /** The name of a folder with a freshly enrolled device. */
  const enrolled = async (profile = "cert", ...more: string[]): Promise<string> => {
    const addresses = profile === "cert" ? ["--no-addresses"] : [];
    const { folder, exit, err } = await enroll(profile, "--certificate", ...addresses, ...more);
    expect([exit, err]).to.deep.equal([0, ""]);
    return folder;
  };
  const run = (command: string, folder: string, ...more: string[]): Promise<Ran> =>
    cli([command, "--state", registry.path(folder), ...more]);
  const state = (folder: string): { device: string; certificate: Held | null } =>
    JSON.parse(readFileSync(registry.path(folder, "device.json"), "utf8"));
  const held = (folder: string): Held => state(folder).certificate ?? expect.fail("no certificate");
  const file = (folder: string, name: string): string => readFileSync(registry.path(folder, "certificate", name), "utf8");
  const mode = (...names: string[]): number => statSync(registry.path(...names)).mode & 0o777;
  /** A key and a certificate that belong together, under the chain and the registry's root. */
  const assertWhole = (folder: string): void => {
    const certificate = new X509Certificate(file(folder, "certificate.pem"));
    expect(certificate.checkPrivateKey(createPrivateKey(file(folder, "key.pem")))).to.equal(true);
    expect(certificate.serialNumber.toLowerCase()).to.equal(held(folder).serial);
    const issuer = new X509Certificate(file(folder, "chain.pem"));
    expect(certificate.verify(issuer.publicKey) && issuer.verify(new X509Certificate(readFileSync(registry.ca)).publicKey)).to.equal(true);
  };
  const listed = async (folder: string): Promise<{ fingerprint: string; state: string }[]> => {
    const { items } = await registry.json<{ items: { fingerprint: string; state: string; device: string | null; notBefore: number }[] }>(
      "cert",
      "list",
      "--limit",
      "1000",
    );
    return items.filter(({ device }) => device === state(folder).device);
  };

  return {
    another,
    enroll,
    enrolled,
    run,
    state,
    held,
    file,
    mode,
    assertWhole,
    listed,
    get registry() {
      return registry;
    },
  };
}
