import { createPublicKey } from "node:crypto";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { openAuthorities } from "../../../registry/ca/authorities.ts";
import { certifiedScene } from "./certified.ts";
import { cli } from "./registry.ts";

const HOUR_MS = 3_600_000;

describe("a device's next certificate", () => {
  const scene = certifiedScene();
  const { enroll, enrolled, run, state, held, file, assertWhole, listed } = scene;

  it("renews with another key of the same kind, and nothing is left of the one before", async () => {
    const folder = await enrolled("cert", "--key-type", "P-384");
    const [before, key] = [held(folder), file(folder, "key.pem")];
    expect((await run("renew", folder)).exit).to.equal(0);
    assertWhole(folder);
    const after = held(folder);
    expect(after.keyType).to.equal("P-384");
    expect([after.serial === before.serial, file(folder, "key.pem") === key]).to.deep.equal([false, false]);
    expect(readdirSync(scene.registry.path(folder, "certificates"))).to.deep.equal([after.serial]);
    expect(await listed(folder)).to.have.length(2);
  });

  it("renews with the same key, with another kind of key, or without a certificate, when told so", async () => {
    const folder = await enrolled("either");
    const [before, key] = [held(folder), file(folder, "key.pem")];
    expect((await run("renew", folder, "--same-key")).exit).to.equal(0);
    expect([file(folder, "key.pem"), held(folder).serial === before.serial]).to.deep.equal([key, false]);
    expect((await run("renew", folder, "--key-type", "Ed25519")).exit).to.equal(0);
    assertWhole(folder);
    const { serial, keyType } = held(folder);
    expect(keyType).to.equal("Ed25519");
    expect((await run("renew", folder, "--no-certificate")).exit).to.equal(0);
    expect(held(folder).serial).to.equal(serial);
    assertWhole(folder);
  });

  it("renews --by-certificate with the certificate's own key, whatever became of the device's", async () => {
    const folder = await enrolled();
    const { serial, fingerprint } = held(folder);
    const other = await enrolled();
    cpSync(scene.registry.path(other, "device.key"), scene.registry.path(folder, "device.key"));
    expect((await run("renew", folder)).err).to.contain("proof_refused");
    expect((await run("renew", folder, "--by-certificate")).exit).to.equal(0);
    assertWhole(folder);
    expect(held(folder).serial).not.to.equal(serial);
    const { items } = await scene.registry.json<{ items: { action: string; detail: { by?: string } }[] }>(
      "audit",
      "list",
      "--limit",
      "1000",
    );
    expect(items.filter(({ action }) => action === "device.renewed").map(({ detail }) => detail.by)).to.include(fingerprint);
  });

  it("gets its first certificate by a renewal, and loses the files with a profile that admits by address alone", async () => {
    await scene.registry.operator("profile", "set", "moving", "--pattern", "ip", "--addresses", "any");
    const { folder } = await enroll("moving");
    expect(state(folder).certificate).to.equal(null);
    expect((await run("renew", folder, "--same-key", "--certificate")).err.split("\n")[0]).to.equal(
      "no_certificate: There is no certificate here whose key could be used again.",
    );
    await scene.registry.operator("profile", "set", "moving", "--pattern", "either", "--addresses", "any");
    expect((await run("renew", folder, "--certificate")).exit).to.equal(0);
    assertWhole(folder);
    await scene.registry.operator("profile", "set", "moving", "--pattern", "ip", "--addresses", "any");
    expect((await run("renew", folder)).err.split(":")[0]).to.equal("certificate_not_offered");
    assertWhole(folder);
    expect((await run("renew", folder, "--no-certificate")).exit).to.equal(0);
    expect(readdirSync(scene.registry.path(folder)).sort()).to.deep.equal(["device.json", "device.key"]);
  });

  it("renews --if-due in the last third of what ends first, and when an answer never came", async () => {
    const folder = await enrolled("either");
    const { notBefore, notAfter, serial } = held(folder);
    const due = Math.floor(notAfter - (notAfter - notBefore) / 3);
    const at = (now: number, ...more: string[]) =>
      cli(["renew", "--if-due", "--state", scene.registry.path(folder), ...more], { now: () => now });
    const early = await at(due - 1);
    expect([early.exit, early.out]).to.deep.equal([
      0,
      `not due before ${new Date(due).toISOString().slice(0, 19).replace("T", " ")} UTC\n`,
    ]);
    expect(JSON.parse((await at(due - 1, "--json")).out)).to.deep.equal({ due: false, dueAt: due });
    expect(held(folder).serial).to.equal(serial);
    expect((await at(due)).exit).to.equal(0);
    expect(held(folder).serial).to.not.equal(serial);

    const waiting = await enrolled("either");
    await using proxy = await scene.registry.handingOn();
    proxy.lose = true;
    expect((await run("renew", waiting, "--url", proxy.url)).exit).to.equal(69);
    proxy.lose = false;
    const again = await run("renew", waiting, "--if-due", "--url", proxy.url);
    expect([again.exit, again.out.startsWith("renewed with:")]).to.deep.equal([0, true]);
  });

  it("keeps nothing of an answer that is another device's, or comes with anything but its CA's certificate", async () => {
    const folder = await enrolled();
    const { serial } = held(folder);
    const { device } = openAuthorities(scene.registry.path("state/pki"), "https://register.example");
    const spki = createPublicKey(file(folder, "key.pem")).export({ type: "spki", format: "der" });
    const make = async (id: string) =>
      (await device?.issue({ kind: "P-256", spki, der: Buffer.alloc(0) }, id, HOUR_MS, Date.now()))?.pem ?? "";
    const [own, other] = [await make(state(folder).device), await make("0198f2c1-7d1e-7000-8000-0123456789ab")];
    const [chain, root] = [device?.chain ?? "", readFileSync(scene.registry.ca, "utf8")];
    for (const certificate of [
      { pem: other, chain },
      { pem: own, chain: "" },
      { pem: own, chain: root },
      { pem: own, chain: `${chain}${own}` },
      { pem: own, chain: `${chain}anything` },
      { pem: `anything\n${own}`, chain },
    ]) {
      const answered = { id: "0198f2c1-7d1e-7000-8000-0123456789ab", device: state(folder).device, pattern: "cert", addresses: [] };
      await using stub = await scene.registry.answering((_incoming, response) => {
        response.writeHead(201, { "content-type": "application/json" });
        response.end(JSON.stringify({ ...answered, certificate, sync: { applied: 0, agents: 0 } }));
      });
      expect(await run("renew", folder, "--same-key", "--url", stub.url)).to.deep.include({
        exit: 69,
        err: "certificate_unfit: The certificate in the answer is not this device's, or what comes with it is not its CA's.\n",
      });
      expect(held(folder).serial).to.equal(serial);
      assertWhole(folder);
    }
  });

  it("keeps nothing of an answer whose certificate is not for its key", async () => {
    const other = file(await enrolled(), "certificate.pem");
    const folder = await enrolled();
    const { serial } = held(folder);
    const body = (certificate: unknown) =>
      JSON.stringify({
        id: "0198f2c1-7d1e-7000-8000-0123456789ab",
        device: state(folder).device,
        pattern: "cert",
        addresses: [],
        certificate,
        sync: { applied: 0, agents: 0 },
      });
    for (const [certificate, err] of [
      [{ pem: other, chain: "" }, "certificate_unfit: The certificate in the answer is not for this device's key.\n"],
      [{ pem: "none", chain: "" }, "certificate_unfit: The certificate in the answer is not for this device's key.\n"],
      [{ pem: 1 }, "answer_unreadable: The answer is not a registration: is this address a registry's?\n"],
      [undefined, "answer_unreadable: The answer holds no certificate, though one was asked for.\n"],
    ] as const) {
      await using stub = await scene.registry.answering((_incoming, response) => {
        response.writeHead(201, { "content-type": "application/json" }).end(body(certificate));
      });
      expect(await run("renew", folder, "--url", stub.url)).to.deep.include({ exit: 69, err });
      expect(held(folder).serial).to.equal(serial);
      assertWhole(folder);
    }
  });
});
