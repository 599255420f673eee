import { X509Certificate } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PkiError } from "../../../registry/ca/folder.ts";
import { CRL_MARGIN_MS } from "../../../registry/process/crl-maker.ts";
import { showAuthorities } from "../../../registry/process/shown-authorities.ts";
import { verifyAudit } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { csr } from "./authorities.ts";
import { type Harness, HOUR_MS } from "./harness.ts";
import { rotationScene, START } from "./rotating.ts";

describe("a rotation of the device CA", () => {
  const scene = rotationScene([
    ["gate-1", "restricted"],
    ["gate-2", "restricted"],
  ]);
  const { steps, states, acknowledge } = scene;
  const begin = () => scene.begin("device");
  const ofDevices = (lines: readonly string[]) => lines.filter((line) => line.includes("device-"));
  const shown = async () => ofDevices(await states());
  const trusted = async (target: "ca" | "crl") => ofDevices(await scene.trusted(target));
  const issuerOf = async (code: Parameters<Harness["register"]>[0]) => {
    const { body } = await scene.harness.register(code, { addresses: [] }, { csr: await csr() });
    return new X509Certificate((body.certificate as { pem: string }).pem).issuer.slice(-8);
  };

  it("signs with the next one once every live gate has it, without one registration refused, and lets the one before go with its last certificate", async () => {
    await using _process = await scene.harness.process([], scene.authorities);
    const code = await scene.harness.code(
      { pattern: "cert", certificateLifetimeMs: HOUR_MS },
      { uses: 9, expiresAt: START + 90 * HOUR_MS },
    );
    const first = scene.authorities.device?.id ?? "";
    expect(await issuerOf(code)).to.equal(first.slice(-8));
    const next = await begin();
    await scene.harness.until(async () => (await trusted("ca")).includes(next));
    expect((await trusted("crl")).sort()).to.deep.equal([first, next].sort());
    await acknowledge("gate-1");
    expect(await issuerOf(code)).to.equal(first.slice(-8));
    const waiting = await scene.harness.rows((db) => showAuthorities(db, scene.authorities));
    expect(waiting.find(({ id }) => id === next)).to.deep.include({ state: "next", waitingFor: ["gate-2"] });
    await acknowledge("gate-1", "gate-2");
    await scene.harness.until(async () => (await shown()).includes(`active ${next}`));
    expect(await issuerOf(code)).to.equal(next.slice(-8));
    expect((await shown()).sort()).to.deep.equal([`active ${next}`, `retired ${first}`]);
    scene.harness.now = START + HOUR_MS + CRL_MARGIN_MS;
    await scene.harness.until(async () => !(await trusted("ca")).includes(first));
    expect(await trusted("crl")).to.deep.equal([next]);
    await scene.harness.until(async () => !existsSync(join(scene.folder, "device.key")));
    expect(await shown()).to.deep.equal([`active ${next}`]);
    const actions = await scene.harness.rows((db) =>
      all(db.selectFrom("audit").select("action").where("action", "like", "ca.%").orderBy("seq")),
    );
    expect(actions.map(({ action }) => action)).to.deep.equal([
      ...["ca.made", "ca.made", "ca.made"],
      ...["ca.rotation_begun", "ca.made", "ca.rotated", "ca.ended"],
    ]);
    expect((await verifyAudit(scene.harness.store)).ok).to.equal(true);
  });

  it("goes on after a kill between any two of its steps", async () => {
    const first = scene.authorities.device?.id ?? "";
    let next: string | null = null;
    // Three CAs are noted and told.
    expect(await steps()).to.equal(6);
    next = await begin();
    expect(await steps()).to.equal(2);
    expect([await steps(), scene.authorities.device?.id]).to.deep.equal([0, first]);
    await acknowledge("gate-1", "gate-2");
    scene.harness.now = START - 1 - CRL_MARGIN_MS;
    expect(await steps()).to.equal(2);
    expect([scene.authorities.device?.id, await shown(), scene.files().filter((file) => file.startsWith("device"))]).to.deep.equal([
      next,
      [`active ${next}`],
      [`${next}.crt`, `${next}.key`],
    ]);
  });

  it("removes the files of one that ended when it was killed before that, and a key that signed nothing", async () => {
    await using process = await scene.harness.process([], scene.authorities);
    const next = await begin();
    await scene.harness.until(async () => (await trusted("ca")).includes(next));
    await process[Symbol.asyncDispose]();
    await scene.harness.store.write((db) => all(db.updateTable("authorities").set({ state: "ended" }).where("ca", "=", next)));
    await scene.restart();
    await using _again = await scene.harness.process([], scene.authorities);
    expect(existsSync(join(scene.folder, `${next}.key`))).to.equal(false);
    expect(scene.authorities.all.map(({ id }) => id)).not.to.include(next);
  });

  it("is begun once, however many ask for it at the same moment, and not again before it is noted", async () => {
    await steps();
    const asked = await Promise.allSettled([begin(), begin()]);
    expect(asked.map((one) => (one.status === "fulfilled" ? "begun" : (one.reason as { code: string }).code))).to.deep.equal([
      "begun",
      "rotation_running",
    ]);
    expect(await begin().catch((error: unknown) => error)).to.include({ code: "rotation_running", status: 409 });
    expect(scene.files().filter((file) => /^device.*crt$/.test(file))).to.have.length(2);
  });

  it("is refused while another one runs, and without the root's key", async () => {
    await using _process = await scene.harness.process([], scene.authorities);
    const next = await begin();
    await scene.harness.until(async () => (await trusted("ca")).includes(next));
    expect(await begin().catch((error: unknown) => error)).to.include({ code: "rotation_running", status: 409 });
    await acknowledge("gate-1", "gate-2");
    await scene.harness.until(async () => (await shown()).includes(`active ${next}`));
    rmSync(join(scene.folder, "root.key"));
    const refused = await begin().catch((error: unknown) => error);
    expect(refused).to.include({ code: "root_key_away", status: 409 });
    expect((refused as Error).cause).to.be.instanceOf(PkiError);
  });
});
