import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { type Authorities, openAuthorities } from "../../../registry/ca/authorities.ts";
import { makePki } from "../../../registry/ca/files.ts";
import { PkiError } from "../../../registry/ca/folder.ts";
import { enrollAgent } from "../../../registry/process/agents.ts";
import { CRL_MARGIN_MS, CrlMaker } from "../../../registry/process/crl-maker.ts";
import { Rotation } from "../../../registry/process/rotation.ts";
import { beginRotation, showAuthorities } from "../../../registry/process/shown-authorities.ts";
import { readHead, recordAcks, verifyAudit } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { csr } from "./authorities.ts";
import { Harness, HOUR_MS } from "./harness.ts";

const START = Date.UTC(2026, 10, 24, 12, 0, 0);

describe("a rotation of the device CA", () => {
  let harness: Harness;
  let folder: string;
  let authorities: Authorities;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "entityos-ca-"));
    await makePki(folder, START);
    authorities = openAuthorities(folder, "https://register.example");
    harness = await Harness.open();
    harness.now = START;
    for (const name of ["gate-1", "gate-2"]) {
      const input = { name, zone: "restricted", fingerprint: "f".repeat(64), replace: false, now: START, actor: "test" } as const;
      await harness.store.write((db) => enrollAgent(db, harness.lead, input));
    }
  });
  afterEach(async () => {
    await harness[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const begin = () =>
    beginRotation(harness.store, harness.lead, { authorities, kind: "device", now: harness.clock.now(), actor: "operator:a" });
  const shown = async () =>
    (await harness.rows((db) => showAuthorities(db, authorities)))
      .filter(({ role }) => role === "device CA")
      .map(({ id, state }) => `${state} ${id}`);
  const trusted = async (target: "ca" | "crl") =>
    (await harness.rows((db) => all(db.selectFrom("trust").select("id").where("target", "=", target))))
      .map(({ id }) => id)
      .filter((id) => id.startsWith("device"));
  const acknowledge = async (...names: string[]) => {
    const { revision } = await harness.rows(readHead);
    await harness.store.write(
      (db) =>
        recordAcks(
          db,
          names.map((name) => ({ name, revision, seenAt: START })),
        ),
      ["progress"],
    );
  };
  const issuerOf = async (code: Parameters<Harness["register"]>[0]) => {
    const { body } = await harness.register(code, { addresses: [] }, { csr: await csr() });
    return new X509Certificate((body.certificate as { pem: string }).pem).issuer.slice(-8);
  };

  it("signs with the next one once every live gate has it, without one registration refused, and lets the one before go with its last certificate", async () => {
    await using _process = await harness.process([], authorities);
    const code = await harness.code({ pattern: "cert", certificateLifetimeMs: HOUR_MS }, { uses: 9, expiresAt: START + 90 * HOUR_MS });
    const first = authorities.device?.id ?? "";
    expect(await issuerOf(code)).to.equal(first.slice(-8));
    const next = await begin();
    await harness.until(async () => (await trusted("ca")).includes(next));
    expect((await trusted("crl")).sort()).to.deep.equal([first, next].sort());
    await acknowledge("gate-1");
    expect(await issuerOf(code)).to.equal(first.slice(-8));
    const waiting = await harness.rows((db) => showAuthorities(db, authorities));
    expect(waiting.find(({ id }) => id === next)).to.deep.include({ state: "next", waitingFor: ["gate-2"] });
    await acknowledge("gate-1", "gate-2");
    await harness.until(async () => (await shown()).includes(`active ${next}`));
    expect(await issuerOf(code)).to.equal(next.slice(-8));
    expect((await shown()).sort()).to.deep.equal([`active ${next}`, `retired ${first}`]);
    harness.now = START + HOUR_MS + CRL_MARGIN_MS;
    await harness.until(async () => !(await trusted("ca")).includes(first));
    expect(await trusted("crl")).to.deep.equal([next]);
    await harness.until(async () => !existsSync(join(folder, "device.key")));
    expect(await shown()).to.deep.equal([`active ${next}`]);
    const actions = await harness.rows((db) => all(db.selectFrom("audit").select("action").where("action", "like", "ca.%").orderBy("seq")));
    expect(actions.map(({ action }) => action)).to.deep.equal([
      ...["ca.made", "ca.made", "ca.made"],
      ...["ca.rotation_begun", "ca.made", "ca.rotated", "ca.ended"],
    ]);
    expect((await verifyAudit(harness.store)).ok).to.equal(true);
  });

  it("goes on after a kill between any two of its steps", async () => {
    const first = authorities.device?.id ?? "";
    let next: string | null = null;
    /** One step of a program that was just started, and dies. */
    const step = async (): Promise<boolean> => {
      authorities = openAuthorities(folder, "https://register.example");
      const parts = { store: harness.store, lead: harness.lead, clock: harness.clock, log: silentLog };
      await new CrlMaker({ ...parts, authorities: () => authorities.all }).turn(1);
      return (await new Rotation({ ...parts, authorities, anchored: () => true }).turn(1)) === 0;
    };
    const steps = async (): Promise<number> => {
      let count = 0;
      while (await step()) count++;
      return count;
    };
    // Three CAs are noted and told.
    expect(await steps()).to.equal(6);
    next = await begin();
    expect(await steps()).to.equal(2);
    expect([await steps(), authorities.device?.id]).to.deep.equal([0, first]);
    await acknowledge("gate-1", "gate-2");
    harness.now = START - 1 - CRL_MARGIN_MS;
    expect(await steps()).to.equal(2);
    expect([authorities.device?.id, await shown(), readdirSync(folder).filter((file) => file.startsWith("device"))]).to.deep.equal([
      next,
      [`active ${next}`],
      [`${next}.crt`, `${next}.key`],
    ]);
  });

  it("removes the files of one that ended when it was killed before that, and a key that signed nothing", async () => {
    await using process = await harness.process([], authorities);
    const next = await begin();
    await harness.until(async () => (await trusted("ca")).includes(next));
    await process[Symbol.asyncDispose]();
    await harness.store.write((db) => all(db.updateTable("authorities").set({ state: "ended" }).where("ca", "=", next)));
    authorities = openAuthorities(folder, "https://register.example");
    await using _again = await harness.process([], authorities);
    expect(existsSync(join(folder, `${next}.key`))).to.equal(false);
    expect(authorities.all.map(({ id }) => id)).not.to.include(next);
  });

  it("is refused while another one runs, and without the root's key", async () => {
    await using _process = await harness.process([], authorities);
    const next = await begin();
    await harness.until(async () => (await trusted("ca")).includes(next));
    expect(await begin().catch((error: unknown) => error)).to.include({ code: "rotation_running", status: 409 });
    await acknowledge("gate-1", "gate-2");
    await harness.until(async () => (await shown()).includes(`active ${next}`));
    rmSync(join(folder, "root.key"));
    const refused = await begin().catch((error: unknown) => error);
    expect(refused).to.include({ code: "root_key_away", status: 409 });
    expect((refused as Error).cause).to.be.instanceOf(PkiError);
  });
});
