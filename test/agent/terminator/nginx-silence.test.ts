import { connect } from "node:net";
import { expect } from "chai";
import { ask, open } from "./client.ts";
import { type ClientCertificate, HOUR_MS, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const HEAD = "Host: service.example\r\n\r\n";

/** Requests that nginx refuses by itself, before or without the agent. */
const FAULTS: readonly (readonly [string, string])[] = [
  ["an ordinary request", `GET / HTTP/1.1\r\n${HEAD}`],
  ["no HTTP at all", "\x01\x02\x03\x04 garbage\r\n\r\n"],
  ["HTTP/0.9", "GET /\r\n"],
  ["a version that is none", `GET / HTTP/7.1\r\n${HEAD}`],
  ["no host", "GET / HTTP/1.1\r\n\r\n"],
  ["two lengths", `POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n${HEAD}`],
  ["an unknown transfer encoding", `POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n${HEAD}`],
  ["TRACE", `TRACE / HTTP/1.1\r\n${HEAD}`],
  ["a method of no application", `PURGE / HTTP/1.1\r\n${HEAD}`],
  ["a body that is too large", `POST / HTTP/1.1\r\nContent-Length: 5000\r\n${HEAD}`],
  ["an address that is too long", `GET /${"a".repeat(9_000)} HTTP/1.1\r\n${HEAD}`],
  ["a header that is too long", `GET / HTTP/1.1\r\nX-A: ${"a".repeat(9_000)}\r\n${HEAD}`],
  ["a path above the root", `GET /../../x HTTP/1.1\r\n${HEAD}`],
  ["the path that nginx asks the agent by", `GET /entityos-authorize HTTP/1.1\r\n${HEAD}`],
  ["the path of silence", `GET /entityos-silence HTTP/1.1\r\n${HEAD}`],
  [
    "a body that is too large for the path that nginx asks the agent by",
    `POST /entityos-authorize HTTP/1.1\r\nContent-Length: 5000\r\n${HEAD}`,
  ],
  ["a body that is too large for the path of silence", `POST /entityos-silence HTTP/1.1\r\nContent-Length: 5000\r\n${HEAD}`],
  ["a body that is too large for a method of no application", `PURGE / HTTP/1.1\r\nContent-Length: 5000\r\n${HEAD}`],
  ["Expect: 100-continue", `POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n${HEAD}`],
  ["a WebSocket", `GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${HEAD}`],
];

describe("nginx towards who shows no certificate that counts", () => {
  let pki: Pki;
  let scene: TerminatorScene;
  let unknown: ClientCertificate;
  let expired: ClientCertificate;
  before(async () => {
    pki = await makeTestPki();
    unknown = await pki.issue(DEVICE);
    expired = await pki.issue(DEVICE, { lifeMs: HOUR_MS, now: Date.now() - 3 * HOUR_MS });
    scene = await makeTerminatorScene({ kind: "nginx", pki, terminator: { maxBodyBytes: 1_000, requestsPer10s: 1_000 } });
  });
  after(async () => {
    await scene[Symbol.asyncDispose]();
  });
  /** All bytes that come back until the connection ends. */
  const bytesOf = async (port: number, request: string, certificate?: ClientCertificate): Promise<string> => {
    const socket = await open(port, { ca: pki.root, certificate });
    let text = "";
    socket.on("data", (data: Buffer) => {
      text += data.toString("latin1");
    });
    // RST, which the gate keeps from the wire, is an error here.
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(request);
    await closed;
    return text;
  };

  for (const lane of ["ipcert", "roaming"] as const) {
    for (const [what, request] of FAULTS) {
      it(`sends no byte in ${lane} for ${what}`, async () => {
        const before = scene.seen.length;
        expect(await bytesOf(scene.ports[lane], request)).to.equal("");
        expect(await bytesOf(scene.ports[lane], request, unknown)).to.equal("");
        expect(await bytesOf(scene.ports[lane], request, expired)).to.equal("");
        expect(scene.seen.length).to.equal(before);
      });
    }
  }

  it("sends no byte to one that does not speak TLS, in any lane", async () => {
    for (const port of Object.values(scene.ports)) {
      const socket = connect(port, "127.0.0.1");
      let bytes = 0;
      socket.on("data", (data) => {
        bytes += data.length;
      });
      socket.on("error", () => {});
      socket.write(`GET / HTTP/1.1\r\n${HEAD}`);
      await new Promise((resolve) => socket.once("close", resolve));
      expect(bytes).to.equal(0);
    }
  });

  it("sends no byte to a source over its rate, whatever it asks for", async () => {
    await using own = await makeTerminatorScene({ kind: "nginx", pki, terminator: { maxBodyBytes: 1_000, requestsPer10s: 100 } });
    const [method, length] = [
      ["GET", "FOO", "TRACE", "POST"],
      ["", "Content-Length: 5000\r\n"],
    ];
    const answers = await Promise.all(
      Array.from({ length: 160 }, (_, n) => bytesOf(own.ports.roaming, `${method[n % 4]} / HTTP/1.1\r\n${length[(n >> 2) % 2]}${HEAD}`)),
    );
    expect(new Set(answers)).to.deep.equal(new Set([""]));
  });

  it("tells who is admitted why a method or a body is refused", async () => {
    await using own = await makeTerminatorScene({ kind: "nginx", pki, terminator: { maxBodyBytes: 1_000 } });
    const certificate = await pki.issue(DEVICE);
    await own.register(certificate, DEVICE, "cert");
    const statuses = [];
    for (const request of [`TRACE / HTTP/1.1\n`, `PURGE / HTTP/1.1\n`, `POST / HTTP/1.1\nContent-Length: 1001\n`]) {
      const socket = await open(own.ports.roaming, { ca: pki.root, certificate });
      statuses.push((await ask(socket, `${request}Host: service.example\n\n`)).status);
      socket.destroy();
    }
    expect(statuses).to.deep.equal([405, 405, 413]);
  });

  it("lets nobody with a certificate in while the agent does not answer", async () => {
    await using own = await makeTerminatorScene({ kind: "nginx", pki });
    const certificate = await pki.issue(DEVICE);
    await own.register(certificate, DEVICE, "cert");
    const request = `GET / HTTP/1.1\r\nConnection: close\r\n${HEAD}`;
    expect((await bytesOf(own.ports.roaming, request, certificate)).slice(0, 12)).to.equal("HTTP/1.1 200");
    await own.target[Symbol.asyncDispose]();
    expect(await bytesOf(own.ports.roaming, request, certificate)).to.equal("");
    expect((await bytesOf(own.ports.ip, request)).slice(0, 12)).to.equal("HTTP/1.1 500");
  });
});
