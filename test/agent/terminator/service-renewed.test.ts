import { X509Certificate } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { PATH } from "../../../lib/service.ts";
import { waitFor } from "../../lab/wait.ts";
import { ask, GET, open } from "./client.ts";
import { HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";
import { startTraffic } from "./traffic.ts";

for (const kind of TERMINATORS) {
  describe(`a service's renewed certificate: ${kind}`, () => {
    let pki: Pki;
    let scene: TerminatorScene;
    before(async () => {
      pki = await makeTestPki(Date.now() - HOUR_MS);
      scene = await makeTerminatorScene({ kind, pki, terminator: { requestsPer10s: 1_000_000 } });
    });
    after(() => scene[Symbol.asyncDispose]());

    const renewed = () => join(scene.config.stateDir, PATH.serviceRenewedName);
    const resync = () => scene.target.resync(scene.desired, new AbortController().signal);
    const serialOf = (pem: string) => new X509Certificate(pem).serialNumber;
    /** One request over a connection of its own: status, and the serial of the certificate that was shown. */
    const once = async () => {
      const socket = await open(scene.ports.ip, { ca: pki.root });
      const shown = socket.getPeerX509Certificate()?.serialNumber;
      const { status } = await ask(socket, GET, { pokes: false });
      socket.destroy();
      return { status, shown };
    };
    /** Workers of nginx that were replaced may still take a connection that came with the reload. */
    const shows = (pem: string) =>
      waitFor("that certificate", async () => {
        const { status, shown } = await once();
        expect(status).to.equal(200);
        return shown === serialOf(pem) ? true : undefined;
      });

    it("is shown to the next connection, and nobody is refused meanwhile", async () => {
      await shows(pki.service.certificate);
      const next = await pki.renewedService(Date.now());
      writeFileSync(renewed(), next);
      await using traffic = startTraffic(scene.ports.ip, { ca: pki.root }, ["a connection for each request"]);
      await traffic.more(1);
      await resync();
      await traffic.more(1);
      await shows(next);
    });

    it("of another key, one that ends before the configured one, and what is none are passed over", async () => {
      const other = await makeTestPki();
      for (const text of [other.service.certificate, await pki.renewedService(Date.now() - 2 * HOUR_MS), "nothing"]) {
        writeFileSync(renewed(), text);
        await resync();
        await shows(pki.service.certificate);
      }
      rmSync(renewed());
    });
  });
}
