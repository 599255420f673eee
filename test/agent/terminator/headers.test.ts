import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { ask, get, open } from "./client.ts";
import { makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const NAMES = [
  "X-EntityOS-Device",
  "x-entityos-device",
  "X_EntityOS_Device",
  "x-entityos_device",
  "X_ENTITYOS-SUBJECT",
  "X-Entityos-Admin",
  "X--EntityOS-Device",
  "XEntityOS-Device",
  "X.EntityOS.Device",
  "X~EntityOS-Device",
  "X__EntityOS__Device",
];
/** nginx cannot take away what it has no name for: the agent refuses it. What has no proper name nginx drops. */
const REFUSED_BEHIND_NGINX = new Set(["X-Entityos-Admin", "X--EntityOS-Device", "XEntityOS-Device"]);

for (const kind of TERMINATORS) {
  describe(`the gate's headers: ${kind}`, () => {
    let pki: Pki;
    let scene: TerminatorScene;
    before(async () => {
      pki = await makeTestPki();
      scene = await makeTerminatorScene({ kind, pki, terminator: { maxBodyBytes: 1_000 } });
    });
    after(async () => {
      await scene[Symbol.asyncDispose]();
    });
    /** Raw header lines of the newest request that reached the application, by lower-case name. */
    const reached = (): [string, string][] => {
      const raw = scene.seen.at(-1) ?? [];
      return raw.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), raw[at + 1] ?? ""]] : []) as [string, string][]);
    };
    const ofTheGate = () => reached().filter(([name]) => /^x[^a-z0-9]*entityos/.test(name));
    const send = async (head: string, body = "") => {
      const socket = await open(scene.ports.ip, { ca: pki.root });
      try {
        return (await ask(socket, `${head}\nHost: service.example\n\n${body}`)).status;
      } finally {
        socket.destroy();
      }
    };

    for (const name of NAMES) {
      it(`are not a client's to send as ${name}`, async () => {
        const refused = kind === "nginx" && REFUSED_BEHIND_NGINX.has(name);
        const before = scene.seen.length;
        expect(await send(`GET / HTTP/1.1\n${name}: forged\n${name}: forged again`)).to.equal(refused ? 403 : 200);
        if (refused) expect(scene.seen.length).to.equal(before);
        else expect(ofTheGate()).to.deep.equal([["x-entityos-lane", "ip"]]);
      });
    }

    it("cannot be taken away by a Connection header", async () => {
      const certificate = await pki.issue(DEVICE);
      await scene.register(certificate, DEVICE, "cert");
      const request = "GET / HTTP/1.1\nHost: service.example\nConnection: X-EntityOS-Device, X-EntityOS-Lane, keep-alive\n\n";
      expect((await get(scene.ports.ip, { ca: pki.root, certificate }, request)).status).to.equal(200);
      expect(ofTheGate().map(([name]) => name)).to.deep.equal([
        "x-entityos-lane",
        "x-entityos-device",
        "x-entityos-pattern",
        "x-entityos-subject",
      ]);
      expect(reached().filter(([name, value]) => name === "connection" && /entityos/i.test(value))).to.deep.equal([]);
    });

    if (kind === "haproxy") {
      it("are not a client's to send in HTTP/2, under any name that HTTP/2 has", async () => {
        const session = connectHttp2(`https://127.0.0.1:${scene.ports.ip}`, { ca: pki.root });
        const forged = Object.fromEntries(NAMES.map((name) => [name.toLowerCase(), "forged"]));
        const stream = session.request({ ":path": "/", ...forged });
        const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
        expect(headers[":status"]).to.equal(200);
        session.destroy();
        expect(ofTheGate()).to.deep.equal([["x-entityos-lane", "ip"]]);
      });

      it("cannot come as trailers: a body whose length is not said is refused, over HTTP/1.1 and HTTP/2", async () => {
        const before = scene.seen.length;
        expect(
          await send("POST / HTTP/1.1\nTransfer-Encoding: chunked\nTrailer: X-EntityOS-Device", "3\nabc\n0\nX-EntityOS-Device: forged\n\n"),
        ).to.equal(411);
        for (const method of ["POST", "GET"]) {
          const session = connectHttp2(`https://127.0.0.1:${scene.ports.ip}`, { ca: pki.root });
          session.on("error", () => {});
          const stream = session.request({ ":path": "/", ":method": method }, { endStream: false, waitForTrailers: true });
          stream.on("error", () => {});
          stream.on("wantTrailers", () => stream.sendTrailers({ "x-entityos-device": "forged" }));
          stream.end();
          const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
          expect(headers[":status"]).to.equal(411);
          session.destroy();
        }
        expect(scene.seen.length).to.equal(before);
      });
    } else {
      it("cannot come as trailers: a chunked body goes on without them, and HTTP/2 is not spoken", async () => {
        const chunked = "POST / HTTP/1.1\nTransfer-Encoding: chunked\nTrailer: X-EntityOS-Device";
        expect(await send(chunked, "3\nabc\n0\nX-EntityOS-Device: forged\n\n")).to.equal(200);
        expect(ofTheGate()).to.deep.equal([["x-entityos-lane", "ip"]]);
        expect(reached().filter(([name]) => name === "trailer")).to.deep.equal([]);
        expect(scene.trailers).to.deep.equal([]);
        const socket = await open(scene.ports.ip, { ca: pki.root, alpn: ["h2", "http/1.1"] });
        expect(socket.alpnProtocol).to.equal("http/1.1");
        socket.destroy();
      });
    }

    it("tell whence a request came, whatever a client says of that", async () => {
      expect(
        await send("GET / HTTP/1.1\nX-Forwarded-For: 192.0.2.1\nForwarded: for=192.0.2.1\nX-Real-IP: 192.0.2.1\nX_Forwarded-Proto: http"),
      ).to.equal(200);
      expect(reached().filter(([name]) => /forwarded|real/.test(name))).to.deep.equal([
        ["x-forwarded-for", "127.0.0.1"],
        ["x-forwarded-proto", "https"],
      ]);
    });

    for (const [what, head, body, statuses] of [
      ["a method of no application", "TRACE / HTTP/1.1", "", 405],
      ["a body that is too large", "POST / HTTP/1.1\nContent-Length: 1001", "", 413],
      ["one that is small in 32 bits", "POST / HTTP/1.1\nContent-Length: 4294967396", "", 413],
      ["one that is small in 64 bits", "POST / HTTP/1.1\nContent-Length: 18446744073709551716", "", { haproxy: 400, nginx: 400 }],
      ["the largest number", "POST / HTTP/1.1\nContent-Length: 9223372036854775807", "", 413],
      ["two lengths", "POST / HTTP/1.1\nContent-Length: 3\nContent-Length: 4", "abcd", 400],
      [
        "a length beside chunks",
        "POST / HTTP/1.1\nContent-Length: 3\nTransfer-Encoding: chunked",
        "3\nabc\n0\n\n",
        { haproxy: 411, nginx: 400 },
      ],
      ["a space before a colon", "GET / HTTP/1.1\nX-EntityOS-Device : forged", "", 400],
      ["a line that is folded", "GET / HTTP/1.1\nX-A: b\n X-EntityOS-Device: forged", "", { haproxy: 200, nginx: 400 }],
      ["a NUL in a value", "GET / HTTP/1.1\nX-A: b\0c", "", 400],
      ["another control character in a value", "GET / HTTP/1.1\nX-A: b\x7fc", "", { haproxy: 400, nginx: 500 }],
      ["a tab in a value", "GET / HTTP/1.1\nX-A: b\tc", "", 200],
      ["a NUL in a name", "GET / HTTP/1.1\nX-EntityOS-Dev\0ice: forged", "", 400],
      [
        "another protocol's upgrade",
        "GET / HTTP/1.1\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "",
        200,
      ],
    ] as const) {
      const status = typeof statuses === "number" ? statuses : statuses[kind];
      it(`let nothing through of ${what}: ${status}`, async () => {
        expect(await send(head, body)).to.equal(status);
        if (status !== 200) return;
        expect(ofTheGate()).to.deep.equal([["x-entityos-lane", "ip"]]);
        expect(reached().filter(([name]) => name === "upgrade")).to.deep.equal([]);
      });
    }
  });
}
