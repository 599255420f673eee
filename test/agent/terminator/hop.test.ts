import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { dirname, join } from "node:path";
import type { TLSSocket } from "node:tls";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { ask, open } from "./client.ts";
import { makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const NOBODY = 65_534;
const CONNECT =
  "require('node:net').connect(process.argv[1]).on('connect',()=>{console.log('connected');process.exit()}).on('error',({code})=>console.log(code))";

for (const kind of TERMINATORS) {
  describe(`the way from a lane to the application: ${kind}`, () => {
    let pki: Pki;
    let scene: TerminatorScene;
    before(async () => {
      pki = await makeTestPki();
      scene = await makeTerminatorScene({ kind, pki, terminator: { maxBodyBytes: 1_000 } });
    });
    after(async () => {
      await scene[Symbol.asyncDispose]();
    });

    if (kind === "haproxy") {
      it("is no way for another user of the host, who would speak as the gate there", () => {
        const folder = dirname(scene.config.terminator.masterSocket);
        chmodSync(folder, 0o755);
        const { stdout } = spawnSync(process.execPath, ["-e", CONNECT, join(folder, "inner.sock")], { uid: NOBODY, encoding: "utf8" });
        expect(stdout.trim()).to.equal("EACCES");
        const { stdout: own } = spawnSync(process.execPath, ["-e", CONNECT, join(folder, "inner.sock")], { encoding: "utf8" });
        expect(own.trim()).to.equal("connected");
      });

      it("is no way for a body that is too large over HTTP/2, whatever its length is in 32 bits", async () => {
        const session = connectHttp2(`https://127.0.0.1:${scene.ports.ip}`, { ca: pki.root });
        session.on("error", () => {});
        const before = scene.seen.length;
        for (const length of ["1001", "4294967396", "9223372036854775807"]) {
          const stream = session.request({ ":path": "/", ":method": "POST", "content-length": length }, { endStream: false });
          stream.on("error", () => {});
          const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
          expect(headers[":status"], length).to.equal(413);
          stream.destroy();
        }
        session.destroy();
        expect(scene.seen.length).to.equal(before);
      });
    }

    it("is open to each request, though the application closes its end between two of them", async () => {
      const socket = await open(scene.ports.ip, { ca: pki.root });
      for (const method of ["GET", "GET", "POST"]) {
        const { status } = await ask(socket, `${method} /first HTTP/1.1\nHost: service.example\nContent-Length: 0\n\n`);
        expect(status, method).to.equal(200);
      }
      socket.destroy();
    });

    it("is WebSocket's alone: another protocol beside it does not pass", async () => {
      const socket = await open(scene.ports.ip, { ca: pki.root });
      const head = ["GET / HTTP/1.1", "Host: service.example", "Connection: Upgrade, HTTP2-Settings", "Upgrade: websocket", "Upgrade: h2c"];
      const answer = await firstOf(socket, [...head, "HTTP2-Settings: AAMAAABkAAQAAP__"]);
      expect(answer).to.match(/^HTTP\/1\.1 101 /);
      const raw = scene.seen.at(-1) ?? [];
      const got = raw.flatMap((name, at) => (at % 2 === 0 && /^(upgrade|http2-settings)$/i.test(name) ? [raw[at + 1]] : []));
      expect(got).to.deep.equal(["websocket"]);
      socket.destroy();
    });

    if (kind === "haproxy") {
      it("stays so when the application agrees to another", async () => {
        const socket = await open(scene.ports.ip, { ca: pki.root });
        const head = ["GET /h2c HTTP/1.1", "Host: service.example", "Connection: Upgrade", "Upgrade: websocket"];
        expect(await firstOf(socket, head)).to.match(/^HTTP\/1\.1 502 /);
        socket.destroy();
      });
    }
  });
}

/** RFC 6455 §1.3: the answer to this key is the test application's. */
const WEBSOCKET = ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];

/** What comes first for this head of an upgrade. */
async function firstOf(socket: TLSSocket, head: readonly string[]): Promise<string> {
  socket.write(`${[...head, ...WEBSOCKET].join("\r\n")}\r\n\r\n`);
  const [data] = (await once(socket, "data")) as [Buffer];
  return data.toString("latin1");
}
