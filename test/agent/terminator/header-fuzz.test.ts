import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { Chance } from "../../faults/random.ts";
import { get } from "./client.ts";
import { makeTestPki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const SEED = 2026;
const REQUESTS = 200;
const SIDE_BY_SIDE = 32;
/** A request that is not whole is waited for no longer: what counts is what reaches the application. */
const PATIENCE_MS = 1_000;

const FORGED = ["X-EntityOS-Device", "X-EntityOS-Lane", "X-EntityOS-Subject", "X-EntityOS-Pattern", "X-EntityOS-Admin"];
const SMUGGLED = "GET / HTTP/1.1\r\nHost: service.example\r\nX-Smuggled: yes\r\nX-EntityOS-Device: forged\r\n\r\n";
const LINES = [
  "GET / HTTP/1.1",
  "POST / HTTP/1.1",
  "GET http://service.example/ HTTP/1.1",
  "GET / HTTP/1.0",
  "PUT  / HTTP/1.1",
  "GET /\x0b HTTP/1.1",
];
const CODINGS = [
  "chunked",
  "Chunked",
  " chunked",
  "\tchunked",
  "chunked, identity",
  "identity, chunked",
  "xchunked",
  "chunked\x0b",
  '"chunked"',
];
const HOPS = ["keep-alive", "close, X-EntityOS-Lane", "X-EntityOS-Device, Host", "Transfer-Encoding", "Upgrade, HTTP2-Settings", "upgrade"];
const ENDS = ["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", "\0\r\n"];

/** A name of the gate's, as somebody spells it who wants it to get through. */
function spelt(chance: Chance): string {
  let name = chance.pick(FORGED);
  if (chance.next() < 0.4) name = name.replaceAll("-", () => chance.pick(["-", "_"]));
  if (chance.next() < 0.05) name = name.replaceAll("-", () => chance.pick(["\u00ad", "."]));
  if (chance.next() < 0.4) name = [...name].map((letter) => (chance.next() < 0.5 ? letter.toUpperCase() : letter.toLowerCase())).join("");
  if (chance.next() < 0.9) return name;
  return chance.pick(["", " ", "\t", "\0", ":"]) + name + chance.pick(["", " ", "\t", "\0", "\x0b"]);
}

function lengthLines(chance: Chance, body: string): string[] {
  const length = `Content-Length: ${chance.pick([body.length, body.length, 0, 3, `+${body.length}`, `0x${body.length.toString(16)}`, `${body.length}, 0`])}`;
  const coding = `${chance.pick(["Transfer-Encoding", "Transfer-Encoding ", "transfer-encoding", "Transfer_Encoding"])}:${chance.pick(CODINGS)}`;
  return chance.pick([[], [length], [length, length], [coding], [length, coding], [coding, length], [coding, coding]]);
}

/** Bytes of a request, forged and perhaps broken in some ways at once, with another one in its body: behind it where the length says so. */
function forge(chance: Chance): Buffer {
  const body = chance.pick([SMUGGLED, `0\r\n${chance.pick(FORGED)}: forged\r\n\r\n${SMUGGLED}`, `3\r\nabc\r\n0\r\n\r\n${SMUGGLED}`, "abc"]);
  const framing = chance.next() < 0.4 ? lengthLines(chance, body) : [];
  const headers = ["Host: service.example", ...framing];
  for (let count = chance.whole(1, 4); count > 0; count--) headers.push(`${spelt(chance)}: forged`);
  if (chance.next() < 0.4) headers.push(`Connection: ${chance.pick(HOPS)}`);
  if (chance.next() < 0.2) headers.push(`Upgrade: ${chance.pick(["websocket", "h2c", "websocket, h2c"])}`);
  if (chance.next() < 0.3) headers.push(`Trailer: ${chance.pick(FORGED)}`);
  const head = [chance.next() < 0.6 ? "GET / HTTP/1.1" : chance.pick(LINES), ...headers]
    .map((line) => line + (chance.next() < 0.97 ? "\r\n" : chance.pick(ENDS)))
    .join("");
  return Buffer.from(`${head}\r\n${framing.length > 0 ? body : ""}`, "latin1");
}

/** HPACK, a literal without indexing and without Huffman (RFC 7541 §6.2.2). */
const literal = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name, "latin1"), Buffer.from([value.length]), Buffer.from(value, "latin1")]);

const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.set([type, flags], 3);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};

/** Bytes of an HTTP/2 connection with one request, whose fields hold what HTTP/1.1 would take for more than one. */
function forgeHttp2(chance: Chance): Buffer {
  const hidden = `\r\n${chance.pick(FORGED)}: forged`;
  const put = (value: string) =>
    chance.next() < 0.3 ? value + chance.pick([hidden, "\n", "\0", " HTTP/1.1\r\nX-Smuggled: yes\r\n"]) : value;
  const fields: [string, string][] = [
    [":method", put("GET")],
    [":scheme", put("https")],
    [":path", put("/")],
    [":authority", put("service.example")],
  ];
  if (chance.next() < 0.1)
    fields.push(
      chance.pick<[string, string]>([
        [":path", "/"],
        [":x-entityos-device", "forged"],
        [":status", "200"],
      ]),
    );
  for (let count = chance.whole(1, 4); count > 0; count--) {
    const name = spelt(chance);
    fields.push([chance.next() < 0.9 ? name.toLowerCase() : name, "forged"]);
  }
  if (chance.next() < 0.4)
    fields.push(
      chance.pick<[string, string]>([
        ["connection", "x-entityos-lane"],
        ["transfer-encoding", "chunked"],
        ["x-a", `b${hidden}`],
        ["te", "trailers"],
        ["upgrade", "websocket"],
      ]),
    );
  const block = Buffer.concat(fields.map(([name, value]) => literal(name, value)));
  return Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, Buffer.alloc(0)), frame(1, 5, 1, block)]);
}

async function sendRaw(scene: TerminatorScene, bytes: Buffer, alpn: string): Promise<void> {
  const socket: TLSSocket = connect({ port: scene.ports.ip, host: "127.0.0.1", ca: scene.pki.root, ALPNProtocols: [alpn] });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  socket.write(bytes);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, PATIENCE_MS);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    socket.once("close", done);
    // HTTP/2 begins with settings, whatever was asked.
    if (alpn === "http/1.1") socket.once("data", done);
    else socket.resume();
  });
  socket.destroy();
}

/** Raw headers of one request by lower-case name. */
const fieldsOf = (raw: readonly string[]): [string, string][] =>
  raw.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), raw[at + 1] ?? ""]] : []) as [string, string][]);

for (const kind of TERMINATORS) {
  describe(`forged requests as raw bytes: ${kind}`, function () {
    this.timeout(120_000);
    let scene: TerminatorScene;
    before(async () => {
      scene = await makeTerminatorScene({ kind, pki: await makeTestPki(), terminator: { requestsPer10s: 1_000_000 } });
    });
    after(() => scene[Symbol.asyncDispose]());

    const variants = [["HTTP/1.1", "http/1.1", forge], ...(kind === "haproxy" ? [["HTTP/2", "h2", forgeHttp2] as const] : [])] as const;
    for (const [version, alpn, make] of variants) {
      it(`of ${version} bring nothing to the application that says who is asking, and no request past the gate in another's body`, async () => {
        const before = scene.seen.length;
        const chance = new Chance(SEED);
        const requests = Array.from({ length: REQUESTS }, () => make(chance));
        const workers = Array.from({ length: SIDE_BY_SIDE }, async () => {
          for (let bytes = requests.pop(); bytes !== undefined; bytes = requests.pop()) await sendRaw(scene, bytes, alpn);
        });
        await Promise.all(workers);
        expect((await get(scene.ports.ip, { ca: scene.pki.root })).status).to.equal(200);
        const reached = scene.seen.slice(before).map(fieldsOf);
        expect(reached.length).to.be.at.least(REQUESTS / 20);
        for (const fields of reached) {
          expect(fields.filter(([name]) => /^x[-_]entityos[-_]/.test(name))).to.deep.equal([["x-entityos-lane", "ip"]]);
          expect(fields.filter(([name]) => name === "x-forwarded-for")).to.deep.equal([["x-forwarded-for", "127.0.0.1"]]);
          expect(fields.filter(([name, value]) => name === "connection" && /entityos|host/i.test(value))).to.deep.equal([]);
        }
        expect(scene.trailers).to.deep.equal([]);
      });
    }
  });
}
