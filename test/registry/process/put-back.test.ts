import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { parseCsr } from "../../../registry/ca/csr.ts";
import { recordCertificate } from "../../../registry/ca/ledger.ts";
import { trustAlarms } from "../../../registry/process/ca-alarms.ts";
import { withdrawAuthority } from "../../../registry/process/withdrawal.ts";
import { newId } from "../../../registry/store/id.ts";
import { all } from "../../../registry/store/store.ts";
import { csr } from "./authorities.ts";
import { HOUR_MS } from "./harness.ts";
import { rotationScene, START } from "./rotating.ts";

describe("CAs whose files and Storage are of different days", () => {
  const scene = rotationScene([["gate-1", "restricted"]]);
  const ofDevices = (lines: readonly string[]) => lines.filter((line) => line.includes("device-"));
  const shown = async () => ofDevices(await scene.states());
  const missing = async () => {
    const facts = { authorities: scene.authorities.all, listeners: [], now: START };
    const alarms = await scene.harness.rows((db) => trustAlarms(db, facts));
    return alarms.filter(({ alarm }) => alarm === "ca_missing").map(({ subject }) => subject);
  };
  const removeFiles = (file: string): void => {
    for (const end of ["crt", "key"]) rmSync(join(scene.folder, `${file}.${end}`));
  };
  /** One that signed and was told, and the next one, which took its place. */
  const rotated = async (): Promise<readonly [first: string, next: string]> => {
    await scene.steps();
    const first = scene.idOf("device");
    const next = await scene.begin("device");
    await scene.steps();
    await scene.acknowledge("gate-1");
    await scene.steps();
    return [first, next];
  };
  const retire = (ca: string) => {
    const { authorities } = scene;
    const input = { authorities, showing: () => [], connected: [], ca, reason: "superseded", now: START, actor: "operator:a" } as const;
    return scene.harness.store.write((db) => withdrawAuthority(db, scene.harness.lead, input));
  };

  it("with Storage of before a rotation: the newer CA is the next one, and what has no files leaves as it would have", async () => {
    await scene.steps();
    const first = scene.idOf("device");
    const { id: next } = await scene.authorities.makeNext("device", START);
    removeFiles("device");
    await scene.steps();
    expect([await shown(), await missing()]).to.deep.equal([[`next ${next}`, `active ${first}`], [first]]);
    await scene.acknowledge("gate-1");
    // Nothing that it signed is left.
    await scene.steps();
    expect([await shown(), await missing()]).to.deep.equal([[`active ${next}`], []]);
    expect([ofDevices(await scene.trusted("ca")), ofDevices(await scene.trusted("crl"))]).to.deep.equal([[next], [next]]);
  });

  it("with a folder of before a rotation: it is an alarm, nothing of the folder is removed, and the lost CA is rotated and retired", async () => {
    const copy = [".crt", ".key"].map(
      (end) => [join(scene.folder, `device${end}`), readFileSync(join(scene.folder, `device${end}`))] as const,
    );
    const [first, lost] = await rotated();
    // It has ended already, for it signed nothing.
    expect(scene.files()).not.to.include("device.crt");
    const issued = await scene.authorities.device?.issue(parseCsr(await csr()), newId(START), HOUR_MS, START);
    if (issued === undefined) throw new Error("there is no device CA");
    await scene.harness.store.write((db) => recordCertificate(db, issued));
    removeFiles(lost);
    for (const [file, content] of copy) writeFileSync(file, content);
    await scene.steps();
    expect([await shown(), await missing()]).to.deep.equal([[`retired ${first}`, `active ${lost}`], [lost]]);
    expect(scene.files().filter((file) => file.startsWith("device"))).to.deep.equal(["device.crt", "device.key"]);
    expect(await retire(lost).catch(({ code }) => code)).to.equal("authority_signs");

    const third = await scene.begin("device");
    await scene.steps();
    await scene.acknowledge("gate-1");
    await scene.steps();
    expect(await shown())
      .to.include(`active ${third}`)
      .and.to.include(`retired ${lost}`);
    await retire(lost);
    await scene.steps();
    expect([await shown(), await missing()]).to.deep.equal([[`active ${third}`], []]);
    const row = await scene.harness.rows((db) =>
      all(db.selectFrom("certificates").select("state").where("fingerprint", "=", issued.fingerprint)),
    );
    expect(row).to.deep.equal([{ state: "revoked" }]);
    expect(ofDevices(await scene.trusted("ca"))).to.deep.equal([third]);
  });

  it("of the next one, whose rotation would wait for ever: it is retired", async () => {
    await scene.steps();
    const lost = await scene.begin("device");
    await scene.steps();
    removeFiles(lost);
    await scene.restart();
    expect(await scene.begin("device").catch(({ code }) => code)).to.equal("rotation_running");
    await retire(lost);
    await scene.steps();
    expect(await missing()).to.deep.equal([]);
    const another = await scene.begin("device");
    await scene.steps();
    expect(await shown()).to.include(`next ${another}`);
  });
});
