import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { expect } from "chai";
import { get } from "./client.ts";
import { download } from "./download.ts";
import { HOUR_MS, makeTestPki } from "./pki.ts";
import { makeTerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";

describe("a disk that makes nothing durable", () => {
  it("keeps no revocation back, of a certificate with its binding either, and is waited for before it counts as applied", async () => {
    const pki = await makeTestPki();
    const order: string[] = [];
    await using scene = await makeTerminatorScene({ pki, target: { cut: async () => void order.push("cut") } });
    const certificate = await pki.issue(DEVICE);
    await scene.register(certificate, DEVICE, "both");
    const id = `${DEVICE} 127.0.0.1/32`;
    scene.desired.change({ kind: "trust.set", target: "binding", id, body: JSON.stringify({ expiresAt: Date.now() + HOUR_MS }) });
    await scene.apply();
    const running = await download(scene.ports.ipcert, pki, certificate);
    const { fsyncSync } = fs;
    fs.fsyncSync = (fd) => {
      order.push("durable");
      fsyncSync(fd);
    };
    syncBuiltinESMExports();
    try {
      scene.desired.change({ kind: "trust.remove", target: "certificate", id: certificate.fingerprint });
      scene.desired.change({ kind: "trust.remove", target: "binding", id });
      await scene.apply();
      order.push("applied");
    } finally {
      fs.fsyncSync = fsyncSync;
      syncBuiltinESMExports();
    }
    // Of the map of those that are gone, and of the bindings' map and its folder.
    expect(order).to.deep.equal(["cut", "durable", "durable", "durable", "applied"]);
    await running.ended;
    expect((await get(scene.ports.ipcert, { ca: pki.root, certificate })).status).to.equal(null);
  }).timeout(30_000);
});
