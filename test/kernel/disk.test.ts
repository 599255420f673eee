import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { connectTo } from "./gate.ts";
import { makeRunningScene } from "./running.ts";

const TIMEOUT_MS = 120_000;

describe("an agent whose disk is full", () => {
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-small-"));
    await run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder]);
  });
  after(async () => {
    await run(["umount", "--lazy", folder]);
    rmSync(folder, { recursive: true });
  });

  it("keeps what stands, follows revocations in the kernel, tells, and acknowledges nothing that is not saved", async () => {
    await using scene = await makeRunningScene(1, { config: { stateDir: folder } });
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    const saved = (await scene.status()).revision;
    expect(() => {
      for (let part = 0; ; part++) writeFileSync(join(folder, `filler${part}`), Buffer.alloc(4_096));
    }).to.throw(/ENOSPC/);
    let last = 0;
    for (let i = 0; i < 40; i++) {
      const prefix = `198.51.100.${i}/32`;
      last = await scene.control.commit({ kind: "rule.set", lane: "ip", prefix, expiresAt: Date.now() + 3_600_000 });
    }
    const failing = async () => (await scene.alarms()).includes("not_saved") || undefined;
    await waitFor("the disk to be full", failing);
    const { revision } = await scene.control
      .commit({ kind: "rule.remove", lane: "ip", prefix: `${device.v4}/32` })
      .then(async (removed) => {
        await waitFor("the revocation", async () => ((await connectTo(device, scene.host.v4)).outcome === "silent" ? true : undefined));
        last = removed;
        return await scene.status();
      });
    expect(revision).to.be.within(saved, last - 1);
    for (let part = 0; part < 200; part++) rmSync(join(folder, `filler${part}`), { force: true });
    const status = await scene.inForce(last);
    await waitFor("no alarm", async () => (await scene.alarms()).length === 0 || undefined);
    expect(status.state).to.equal("enforcing");
  }).timeout(TIMEOUT_MS);
});
