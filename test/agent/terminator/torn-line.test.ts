import { execFileSync } from "node:child_process";
import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { currentLink } from "../../../agent/terminator/layout.ts";
import { get, identityOf } from "./client.ts";
import { nextHaproxyTarget } from "./next-agent.ts";
import { makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const PAGE = 4_096;
const { signal } = new AbortController();

describe("half a line of a map, which is another entry", () => {
  let pki: Pki;
  before(async () => {
    pki = await makeTestPki();
  });

  it("counts for none where its end is missing: the host lost its power in the middle", async () => {
    await using scene = await makeTerminatorScene({ pki });
    const certificate = await pki.issue(DEVICE);
    const file = join(currentLink(scene.config.stateDir), "certificates.map");
    await scene.killTerminator();
    const number = Number.parseInt(certificate.fingerprint.slice(0, 8), 16);
    appendFileSync(file, `${certificate.fingerprint.toUpperCase()} ${number}|cert|${DEVICE}|bob\n`);
    await scene.startTerminator();
    expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(null);
  }).timeout(30_000);

  it("is not left by a disk that is full in the middle of one", async () => {
    await using scene = await makeTerminatorScene({ pki });
    const { stateDir } = scene.config;
    await scene.target[Symbol.asyncDispose]();
    await scene.killTerminator();
    rmSync(join(stateDir, "terminator"), { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k,mode=700", "none", stateDir]);
    try {
      await using target = nextHaproxyTarget(scene, []);
      await target.resync(scene.desired, signal);
      scene.desired.acknowledgeAll();
      const apply = async () => {
        const pending = scene.desired.pending();
        await target.apply(scene.desired, pending, signal);
        scene.desired.acknowledge(pending);
      };
      const certificate = await pki.issue(DEVICE);
      const set = (id: string, subject: string) => {
        const { serial, notAfter } = certificate;
        const body = JSON.stringify({ device: DEVICE, pattern: "cert", subject, serial, issuer: pki.deviceCaId, notAfter });
        scene.desired.change({ kind: "trust.set", target: "certificate", id, body });
      };
      // Others fill the map's page so far that of this one's line the first letters of its subject have room, and no more.
      const map = join(currentLink(stateDir), "certificates.map");
      const size = () => readFileSync(map).length;
      const first = `${certificate.fingerprint.toUpperCase()} ${Number.parseInt(certificate.fingerprint.slice(0, 8), 16)}|cert|${DEVICE}|bob`;
      for (let n = 1; size() < PAGE - first.length; n++) {
        const other = n.toString(16).padStart(8, "0") + "ab".repeat(28);
        const least = `${other} ${n}|cert|${DEVICE}||1234567890\n`.length;
        const left = PAGE - first.length - size();
        set(other, "x".repeat(left >= 2 * (least + 40) ? 20 : left - least));
        await apply();
      }
      expect(size()).to.equal(PAGE - first.length);
      const before = readFileSync(map, "utf8");
      fill(stateDir);
      set(certificate.fingerprint, "bobby");
      const outcome = await apply().then(
        () => "done",
        (error: NodeJS.ErrnoException) => error.code,
      );
      expect([outcome, readFileSync(map, "utf8")]).to.deep.equal(["ENOSPC", before]);
      // HAProxy was told before, and one that starts knows nothing of it.
      await scene.startTerminator();
      expect((await get(scene.ports.roaming, { ca: pki.root, certificate })).status).to.equal(null);
      rmSync(join(stateDir, "filler"));
      await target.resync(scene.desired, signal);
      const answer = await get(scene.ports.roaming, { ca: pki.root, certificate });
      expect(identityOf(answer)["x-entityos-subject"]).to.equal("bobby");
    } finally {
      await scene.killTerminator();
      execFileSync("umount", ["-l", stateDir]);
    }
  }).timeout(60_000);
});

/** Until nothing more goes onto the disk. */
function fill(folder: string): void {
  const file = join(folder, "filler");
  writeFileSync(file, "");
  try {
    for (;;) appendFileSync(file, Buffer.alloc(PAGE));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}
