import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { certifiedScene } from "./certified.ts";
import type { Ran } from "./registry.ts";

describe("a device with a certificate whose process dies", () => {
  const scene = certifiedScene();
  const { another, enrolled, run, held, file, mode, assertWhole, listed } = scene;

  const files = (folder: string): string[] => readdirSync(scene.registry.path(folder)).sort();

  for (const command of ["enroll", "renew"] as const) {
    it(`between ${command}'s request and its answer has the key on disk, and gets the same certificate by running it again`, async () => {
      await using proxy = await scene.registry.handingOn();
      const code = await scene.registry.code("--profile", "cert");
      const folder = command === "enroll" ? another("dies") : await enrolled();
      const once = (): Promise<Ran> =>
        command === "enroll"
          ? scene.registry.enroll(folder, code, "--certificate", "--no-addresses", "--url", proxy.url)
          : run("renew", folder, "--url", proxy.url);
      proxy.lose = true;
      expect((await once()).exit).to.equal(69);
      const base = command === "enroll" ? [] : ["certificate", "certificates", "device.json"];
      expect(files(folder)).to.deep.equal([...base, "device.key", "next.key", "pending.json"].sort());
      expect(mode(folder, "next.key")).to.equal(0o600);
      if (command === "renew") assertWhole(folder);
      const next = readFileSync(scene.registry.path(folder, "next.key"), "utf8");
      cpSync(scene.registry.path(folder), scene.registry.path("snapshot"), { recursive: true, verbatimSymlinks: true });

      proxy.lose = false;
      expect((await once()).exit).to.equal(0);
      assertWhole(folder);
      const { serial } = held(folder);
      expect(file(folder, "key.pem")).to.equal(next);
      expect(new Set(proxy.bodies).size).to.equal(1);
      expect(files(folder)).to.deep.equal(["certificate", "certificates", "device.json", "device.key"]);

      // As if it had died after the files were put in place and before that was written down.
      for (const name of ["pending.json", "next.key"]) cpSync(scene.registry.path("snapshot", name), scene.registry.path(folder, name));
      if (command === "enroll") rmSync(scene.registry.path(folder, "device.json"));
      else cpSync(scene.registry.path("snapshot/device.json"), scene.registry.path(folder, "device.json"));
      expect((await once()).exit).to.equal(0);
      assertWhole(folder);
      expect(held(folder).serial).to.equal(serial);
      expect(await listed(folder)).to.have.length(command === "enroll" ? 1 : 2);
      rmSync(scene.registry.path("snapshot"), { recursive: true });
    });
  }

  it("while files are put in place leaves the certificate before whole, whatever stopped it", async () => {
    const folder = await enrolled();
    const { serial } = held(folder);
    // A folder in the place of the link stops the next one before it is turned, as a full disk would.
    cpSync(scene.registry.path(folder, "certificates"), scene.registry.path(folder, "certificates.away"), { recursive: true });
    rmSync(scene.registry.path(folder, "certificate"));
    mkdirSync(scene.registry.path(folder, "certificate"));
    cpSync(scene.registry.path(folder, "certificates.away", serial), scene.registry.path(folder, "certificate"), { recursive: true });
    const stopped = await run("renew", folder);
    expect([stopped.exit, stopped.err.split(":")[0]]).to.deep.equal([65, "file_refused"]);
    expect(held(folder).serial).to.equal(serial);
    assertWhole(folder);
    rmSync(scene.registry.path(folder, "certificate"), { recursive: true });
    expect((await run("renew", folder)).exit).to.equal(0);
    assertWhole(folder);
    expect(await listed(folder)).to.have.length(2);
  });

  it("between the new certificate and the sweep asks with another key the next time", async () => {
    const folder = await enrolled();
    const key = file(folder, "key.pem");
    writeFileSync(scene.registry.path(folder, "next.key"), key, { mode: 0o600 });
    expect((await run("renew", folder)).exit).to.equal(0);
    expect(file(folder, "key.pem")).to.not.equal(key);
  });
});
