import { X509Certificate } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { encodePem } from "../../../lib/pem.ts";
import { CA_LIFE_MS, type Issued } from "../../../registry/ca/authority.ts";
import { parseCsr } from "../../../registry/ca/csr.ts";
import { makePki } from "../../../registry/ca/files.ts";
import { recordCertificate } from "../../../registry/ca/ledger.ts";
import { FILE_KEYS } from "../../../registry/ca/signer.ts";
import { enrollAgent } from "../../../registry/process/agents.ts";
import { rootEntries } from "../../../registry/process/authorities.ts";
import { CRL_MARGIN_MS } from "../../../registry/process/crl-maker.ts";
import { withdrawAuthority } from "../../../registry/process/withdrawal.ts";
import { readCrlDer } from "../../../registry/store/crls.ts";
import { all } from "../../../registry/store/store.ts";
import { opensslFolder } from "../ca/openssl.ts";
import { csr } from "./authorities.ts";
import { HOUR_MS } from "./harness.ts";
import { rotationScene, START } from "./rotating.ts";

describe("a rotation of root and infrastructure CA", () => {
  const scene = rotationScene([
    ["gate-1", "restricted"],
    ["open-1", "open"],
  ]);
  const { taken, steps, begin, states, trusted, acknowledge, idOf, files } = scene;
  const withdraw = (ca: string) =>
    scene.harness.store
      .write((db) =>
        withdrawAuthority(db, scene.harness.lead, {
          authorities: scene.authorities,
          showing: () => [],
          connected: [],
          ca,
          reason: "keyCompromise",
          now: scene.harness.clock.now(),
          actor: "operator:a",
        }),
      )
      .then(
        () => null,
        (error: { code: string }) => error.code,
      );

  /** Whether openssl takes a chain strictly, with every CA's list as Storage has it. */
  async function verify(
    pins: readonly string[],
    chain: readonly string[],
    leaf: string,
    more: readonly Uint8Array[] = [],
  ): Promise<string> {
    using openssl = opensslFolder();
    const ders = [...more];
    for (const { id } of scene.authorities.all) {
      const der = await scene.harness.rows((db) => readCrlDer(db, { ca: id }));
      if (der !== null) ders.push(der);
    }
    const lists = ders.map((der) => encodePem("X509 CRL", der));
    openssl.write("pins.pem", pins.join(""));
    openssl.write("chain.pem", chain.join(""));
    openssl.write("lists.pem", lists.join(""));
    const options = [
      "-x509_strict",
      "-crl_check_all",
      "-attime",
      String(Math.floor(scene.harness.clock.now() / 1000)),
      "-CRLfile",
      "lists.pem",
    ];
    try {
      openssl.run("verify", ...options, "-CAfile", "pins.pem", "-untrusted", "chain.pem", openssl.write("leaf.pem", leaf));
      return "OK";
    } catch (error) {
      return /error (\d+)/.exec(String(error))?.[1] ?? String(error);
    }
  }
  const listed = async <T extends Issued>(issued: T, device: string | null = null): Promise<T> => {
    await scene.harness.store.write((db) => recordCertificate(db, issued, device));
    return issued;
  };
  const server = async () =>
    (
      await listed(
        await scene.authorities.infrastructure.issueServer(parseCsr(await csr()), ["control.example"], scene.harness.clock.now()),
      )
    ).pem;

  it("ties the new root to the old one both ways, so that who pinned either takes what the other one signs, step by step across kills", async () => {
    await steps();
    const [first] = scene.authorities.all.filter(({ kind }) => kind === "root");
    const old = first?.certificate ?? "";
    const before = { leaf: await server(), chain: scene.authorities.infrastructure.chain };
    const next = await begin("root");
    // Noted, told; then nothing until every gate has it; who is in the open zone follows no feed.
    expect(await steps()).to.equal(2);
    expect((await trusted("ca")).filter((id) => !id.startsWith("device"))).to.deep.equal(
      [...scene.authorities.crosses.map(({ id }) => id), idOf("root"), next].sort(),
    );
    expect(await trusted("crl")).to.include(next);
    expect([await steps(), scene.authorities.infrastructure.root]).to.deep.equal([0, old]);
    await acknowledge("gate-1");
    expect(await steps()).to.equal(1);
    const young = scene.authorities.infrastructure.root;
    expect(young).not.to.equal(old);
    const { chain } = scene.authorities.infrastructure;
    expect(await Promise.all([verify([old], [chain], before.leaf), verify([young], [chain], before.leaf)])).to.deep.equal(["OK", "OK"]);
    expect(await verify([young], [before.chain], before.leaf)).to.equal("20");
    // What the new root signs is taken by those who pinned the old one.
    const infrastructure = await begin("infrastructure");
    expect([await steps(), await steps()]).to.deep.equal([2, 0]);
    taken.add(infrastructure);
    expect(await steps()).to.equal(1);
    expect(await states()).to.include(`active ${infrastructure}`);
    const after = { leaf: await server(), chain: scene.authorities.infrastructure.chain };
    expect(new X509Certificate(after.leaf).issuer.slice(-8)).to.equal(infrastructure.slice(-8));
    for (const pins of [[old], [young], [old, young]]) {
      expect(await verify(pins, [after.chain], after.leaf)).to.equal("OK");
      expect(await verify(pins, [before.chain, chain], before.leaf)).to.equal("OK");
    }
  });

  it("lets the old root go with its own end and not before, and takes its files, its list and its cross certificates along", async () => {
    await steps();
    const old = idOf("root");
    const next = await begin("root");
    await steps();
    await acknowledge("gate-1");
    await steps();
    for (const kind of ["infrastructure", "device"] as const) {
      taken.add(await begin(kind));
      await steps();
      await acknowledge("gate-1");
      await steps();
    }
    scene.harness.now = START + CA_LIFE_MS.intermediate + CRL_MARGIN_MS;
    await steps();
    expect(await states()).to.include(`retired ${old}`);
    scene.harness.now = START + CA_LIFE_MS.root + CRL_MARGIN_MS;
    await steps();
    expect(await trusted("ca")).not.to.include(old);
    expect((await trusted("ca")).filter((id) => id.startsWith("cross"))).to.deep.equal([]);
    expect(files().filter((file) => /^(root|cross)/.test(file))).to.deep.equal([`${next}.crl`, `${next}.crt`, `${next}.key`]);
    // `init` makes nothing anew for what was rotated.
    expect(await makePki(scene.folder, START + HOUR_MS)).to.deep.equal([]);
  });

  it("takes out what an operator retires: the root's list names the CA, all that it signed is revoked, and it leaves", async () => {
    await steps();
    const [root, infrastructure, device] = [idOf("root"), idOf("infrastructure"), idOf("device")];
    expect(await withdraw(device)).to.equal("authority_signs");
    expect(await withdraw("device-00000000")).to.equal("authority_unknown");
    const agent = await scene.authorities.infrastructure.issueAgent(parseCsr(await csr()), "gate-1", START);
    const { fingerprint } = agent;
    await listed(agent);
    await scene.harness.store.write((db) =>
      enrollAgent(db, scene.harness.lead, { name: "gate-1", zone: "restricted", fingerprint, replace: true, now: START, actor: "test" }),
    );
    const leaf = await listed((await scene.authorities.device?.issue(parseCsr(await csr()), "d", HOUR_MS, START)) ?? agent);
    const device1 = scene.authorities.device?.chain ?? "";
    taken.add(await begin("infrastructure"));
    await steps();
    expect(await withdraw(infrastructure)).to.equal("authority_needed");
    const next = await begin("device");
    await steps();
    await acknowledge("gate-1");
    await steps();
    expect(await states()).to.include.members([`active ${next}`, `retired ${device}`]);
    const { root: pin } = scene.authorities.infrastructure;
    expect(await verify([pin], [device1], leaf.pem)).to.equal("OK");
    renameSync(join(scene.folder, "root.key"), join(scene.folder, "away"));
    expect(await withdraw(device)).to.equal("root_key_away");
    renameSync(join(scene.folder, "away"), join(scene.folder, "root.key"));
    expect(await withdraw(root)).to.equal("authority_signs");
    const last = (await scene.harness.rows((db) => readCrlDer(db, { ca: device }))) ?? new Uint8Array();
    expect(await withdraw(device)).to.equal(null);
    scene.harness.now = START + 2_000;
    await steps();
    // 23 is X509_V_ERR_CERT_REVOKED: the CA's, by the root's list.
    expect(await verify([pin], [device1], leaf.pem, [last])).to.equal("23");
    expect(await trusted("ca")).to.deep.equal([next, root]);
    const row = await scene.harness.rows((db) =>
      all(db.selectFrom("certificates").select(["state", "reason"]).where("fingerprint", "=", leaf.fingerprint)),
    );
    expect(row).to.deep.equal([{ state: "revoked", reason: "keyCompromise" }]);
    expect(files().filter((file) => file.startsWith("device"))).to.deep.equal([`${next}.crt`, `${next}.key`]);
    // The list that `init` makes when the root's key comes back for it names it too.
    rmSync(join(scene.folder, "root.crl"));
    await makePki(scene.folder, START + HOUR_MS, "P-256", FILE_KEYS, await scene.harness.rows((db) => rootEntries(db, START)));
    using openssl = opensslFolder();
    const text = openssl.run("crl", "-inform", "DER", "-in", join(scene.folder, "root.crl"), "-noout", "-text").toString();
    expect(text).to.contain(`Serial Number: ${new X509Certificate(device1).serialNumber}`);
    expect(text).to.contain("Key Compromise");
  });
});
