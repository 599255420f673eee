import { spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { CaKind } from "../../../registry/ca/authority.ts";
import { sweepFiles } from "../../../registry/ca/generations.ts";
import { rotationScene, START } from "./rotating.ts";

const CHILD = join(import.meta.dirname, "../ca/dying.child.ts");

/** Files of a generation: key and certificate; of a root its list and both cross certificates too. */
const FILES = { device: 2, infrastructure: 2, root: 5 } as const;

describe("a registry killed while it makes the next CA", function () {
  this.timeout(60_000);
  const scene = rotationScene([["gate-1", "restricted"]]);
  const { taken, steps, states, acknowledge, idOf, files } = scene;

  const killed = (kind: CaKind, moment: "before" | "after", count: number) => {
    const args = ["--disable-warning=ExperimentalWarning", CHILD, scene.folder, kind, moment, String(count), String(START)];
    const { signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 30_000 });
    return [signal, stdout, stderr];
  };
  const file = (name: string) => readFileSync(join(scene.folder, name));

  for (const kind of ["device", "infrastructure", "root"] as const) {
    const counts = Array.from({ length: FILES[kind] }, (_, index) => index + 1);
    for (const [moment, count] of [...counts.map((count) => ["before", count] as const), ["after", FILES[kind]] as const]) {
      const isMade = moment === "after";
      it(`${moment} file ${count} of ${FILES[kind]} of the next ${kind} starts again and rotates${isMade ? " to it" : ""}`, async () => {
        await steps();
        const before = idOf(kind);
        expect(killed(kind, moment, count)).to.deep.equal(["SIGKILL", "", ""]);
        await scene.restart();
        sweepFiles(scene.folder);
        // What has its certificate is taken up where it was left; what has none was nothing yet.
        expect(await steps()).to.equal(isMade ? 2 : 0);
        const next = isMade ? ((await states()).find((line) => line.startsWith("next "))?.slice(5) ?? "") : await scene.begin(kind);
        await steps();
        await acknowledge("gate-1");
        taken.add(next);
        await steps();
        expect(await states())
          .to.include(`active ${next}`)
          .and.not.to.include(`active ${before}`);
        expect(new X509Certificate(file(`${next}.crt`)).checkPrivateKey(createPrivateKey(file(`${next}.key`)))).to.equal(true);
        // A root's key alone stays: see below.
        const alone = files().filter((name) => name.endsWith(".key") && !files().includes(name.replace(/key$/, "crt")));
        expect(alone.length).to.equal(kind === "root" && moment === "before" && count > 1 ? 1 : 0);
        expect(files().filter((name) => name.endsWith(".tmp"))).to.deep.equal([]);
        expect(files().filter((name) => name.startsWith("cross")).length).to.equal(kind === "root" ? 2 : 0);
        expect(files().filter((name) => /^root-.*crl$/.test(name))).to.deep.equal(kind === "root" ? [`${next}.crl`] : []);
      });
    }
  }

  it("keeps a root's key that has lost its certificate, for it may be all that is left", async () => {
    expect(killed("root", "after", 1)).to.deep.equal(["SIGKILL", "", ""]);
    sweepFiles(scene.folder);
    expect(
      files()
        .filter((name) => /^root-/.test(name))
        .map((name) => name.replace(/[0-9a-f]{8}/, "ID")),
    ).to.deep.equal(["root-ID.key"]);
  });
});
