import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { makeTestPki } from "./pki.ts";
import { makeTerminatorScene } from "./scene.ts";

const [DEVICE, OTHER] = ["0198f2c1-7d1e-7000-8000-0123456789ab", "0198f2c1-7d1e-7000-8000-0123456789ac"];
const STREAM = "GET /stream HTTP/1.1\r\nHost: service.example\r\n\r\n";

for (const kind of TERMINATORS)
  describe(`two connections from one port of a client, to two addresses of the host: ${kind}`, () => {
    const started = async () => {
      const now = Date.now();
      const pki = await makeTestPki(now, ["127.0.0.2"]);
      const scene = await makeTerminatorScene({ kind, pki });
      const certified = async (device: string) => {
        const certificate = await pki.issue(device, { now });
        await scene.register(certificate, device, "cert");
        return certificate;
      };
      type Shown = Partial<Awaited<ReturnType<typeof certified>>>;
      const to = async (host: string, localPort: number | undefined, { cert, key }: Shown): Promise<TLSSocket> => {
        const from = { localAddress: "127.0.0.1", ...(localPort === undefined ? {} : { localPort }) };
        const socket = connect({ port: scene.ports.ip, host, ca: pki.root, ...(cert && key ? { cert, key } : {}), ...from });
        await once(socket, "secureConnect");
        socket.on("error", () => {}).write(STREAM);
        await once(socket, "data");
        return socket.resume();
      };
      return { scene, certified, to };
    };

    it("the one with a certificate is cut when that is revoked, though the other one has none", async () => {
      const { scene, certified, to } = await started();
      await using _scene = scene;
      const certificate = await certified(DEVICE);
      const first = await to("127.0.0.1", undefined, certificate);
      const port = first.localPort ?? 0;
      const second = await to("127.0.0.2", port, {});
      await scene.revoke(certificate);
      expect(scene.cut).to.deep.equal([{ family: 4, address: "127.0.0.1", port }]);
      for (const socket of [first, second]) socket.destroy();
    });

    it("either is cut when its certificate is revoked, though both certificates end in the same second", async () => {
      const { scene, certified, to } = await started();
      await using _scene = scene;
      for (const revoked of [0, 1] as const) {
        const certificates = [await certified(DEVICE), await certified(OTHER)] as const;
        expect(certificates[0].notAfter).to.equal(certificates[1].notAfter);
        const first = await to("127.0.0.1", undefined, certificates[0]);
        const port = first.localPort ?? 0;
        const second = await to("127.0.0.2", port, certificates[1]);
        const before = scene.cut.length;
        await scene.revoke(certificates[revoked]);
        expect(scene.cut.slice(before)).to.deep.equal([{ family: 4, address: "127.0.0.1", port }]);
        for (const socket of [first, second]) socket.destroy();
      }
    });
  });
