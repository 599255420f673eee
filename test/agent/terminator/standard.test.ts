import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, type Socket, type TcpNetConnectOpts } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { expect } from "chai";
import { TERMINATORS } from "../../../agent/config.ts";
import { createMaster } from "../../../agent/terminator/master.ts";
import { waitFor } from "../../lab/wait.ts";
import { ask, open } from "./client.ts";
import { type ClientCertificate, makeTestPki, type Pki } from "./pki.ts";
import { makeTerminatorScene, type TerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const MAX_BODY = 1_000;
const HOST = "Host: service.example";
const many = (count: number, value = "1") => Array.from({ length: count }, (_, at) => `X-${at}: ${value}\n`).join("");
const request = (line: string, more = "", body = "") => `${line}\n${HOST}\n${more}\n${body}`;
const get = (more: string) => request("GET / HTTP/1.1", more);

/** A request, and the status of its answer: in lane ip, and to an admitted device in lane roaming. Null is silence. */
type Row = readonly [what: string, request: string, ip: Answers, roaming?: Answers];
type Answers = number | null | { readonly haproxy: number | null; readonly nginx: number | null };

const TABLE: readonly Row[] = [
  ...["GET", "DELETE", "OPTIONS"].map((method): Row => [`the method ${method}`, request(`${method} / HTTP/1.1`), 200]),
  ...["POST", "PUT", "PATCH"].map((method): Row => [`the method ${method}`, request(`${method} / HTTP/1.1`, "Content-Length: 0\n"), 200]),
  ...["TRACE", "PROPFIND", "BREW"].map((method): Row => [`the method ${method}`, request(`${method} / HTTP/1.1`), 405]),
  ["the method CONNECT", request("CONNECT service.example:443 HTTP/1.1"), { haproxy: 405, nginx: 400 }, { haproxy: 405, nginx: null }],
  ["a body of the largest size", request("POST / HTTP/1.1", `Content-Length: ${MAX_BODY}\n`, "x".repeat(MAX_BODY)), 200],
  ["a body of one byte more", request("POST / HTTP/1.1", `Content-Length: ${MAX_BODY + 1}\n`), 413],
  ["a chunked body", request("POST / HTTP/1.1", "Transfer-Encoding: chunked\n", "3\nabc\n0\n\n"), { haproxy: 411, nginx: 200 }],
  ["a chunked body that is too large", request("POST / HTTP/1.1", "Transfer-Encoding: chunked\n", `7d0\n${"x".repeat(2_000)}\n0\n\n`), 413],
  ["a path of 7,000 characters", request(`GET /${"a".repeat(7_000)} HTTP/1.1`), 200],
  [
    "a path of 9,000 characters",
    request(`GET /${"a".repeat(9_000)} HTTP/1.1`),
    { haproxy: 200, nginx: 414 },
    { haproxy: 200, nginx: null },
  ],
  ["a header of 7,000 characters", get(`X-A: ${"a".repeat(7_000)}\n`), 200],
  ["a header of 9,000 characters", get(`X-A: ${"a".repeat(9_000)}\n`), { haproxy: 200, nginx: 400 }, { haproxy: 200, nginx: null }],
  ["a head of 14,000 characters", get(many(7, "a".repeat(2_000))), 200],
  ["a head of 40,000 characters", get(many(8, "a".repeat(5_000))), 400, { haproxy: 400, nginx: null }],
  ["50 header lines", get(many(50)), 200],
  ["70 header lines", get(many(70)), { haproxy: 400, nginx: 200 }],
  ["100 header lines", get(many(100)), { haproxy: 400, nginx: 403 }, { haproxy: 400, nginx: null }],
  ["no Host", "GET / HTTP/1.1\n\n", 400, { haproxy: 400, nginx: null }],
  ["a version of HTTP that is none", request("GET / HTTP/9.9"), { haproxy: 200, nginx: 505 }, { haproxy: 200, nginx: null }],
];

for (const kind of TERMINATORS) {
  describe(`Standard Rules in HTTP: ${kind}`, () => {
    let pki: Pki;
    let scene: TerminatorScene;
    let certificate: ClientCertificate;
    before(async () => {
      pki = await makeTestPki();
      scene = await makeTerminatorScene({ kind, pki, terminator: { maxBodyBytes: MAX_BODY } });
      certificate = await pki.issue(DEVICE);
      await scene.register(certificate, DEVICE, "cert");
    });
    after(async () => {
      await scene[Symbol.asyncDispose]();
    });
    const statusIn = async (lane: "ip" | "roaming", text: string): Promise<number | null> => {
      const asking = { ca: pki.root, ...(lane === "ip" ? {} : { certificate }) };
      const socket = await open(scene.ports[lane], asking);
      try {
        return (await ask(socket, text)).status;
      } finally {
        socket.destroy();
      }
    };

    for (const [what, text, ip, roaming = ip] of TABLE) {
      const [inIp, inRoaming] = [ip, roaming].map((answer) => (answer === null || typeof answer === "number" ? answer : answer[kind]));
      it(`answer ${what} with ${inIp ?? "silence"}, in a lane with certificates ${inRoaming ?? "silence"}`, async () => {
        expect([await statusIn("ip", text), await statusIn("roaming", text)]).to.deep.equal([inIp, inRoaming]);
      });
    }

    it("bound a source's requests, an address' apart from another's", async () => {
      await using strict = await makeTerminatorScene({ kind, pki, terminator: { requestsPer10s: 5 } });
      const from = async (localAddress: string, count: number) => {
        const statuses: (number | null)[] = [];
        for (let at = 0; at < count; at++) {
          const socket = await open(strict.ports.ip, { ca: pki.root, localAddress });
          statuses.push((await ask(socket, get(""))).status);
          socket.destroy();
        }
        return statuses;
      };
      const first = await from("127.0.0.2", 12);
      expect(first.slice(0, 5)).to.deep.equal([200, 200, 200, 200, 200]);
      expect(first.at(-1)).to.equal(429);
      expect(await from("127.0.0.3", 1)).to.deep.equal([200]);
    });

    if (kind === "haproxy") {
      it("bound the connections that a source holds, begun ones too, and a stranger's further", async () => {
        await using strict = await makeTerminatorScene({ kind, pki, terminator: { maxConnections: 20 } });
        const master = createMaster(strict.config.terminator.masterSocket);
        const [worker = 0] = await strict.workers();
        /** Connections that HAProxy counts for a source. */
        const held = async (source: string): Promise<number> => {
          const table = await master.command("show table held", { signal: new AbortController().signal, worker });
          return Number(new RegExp(`key=\\S*${source} .*conn_cur=(\\d+)`).exec(table)?.[1] ?? 0);
        };
        for (const [lane, most] of [
          ["ip", 10],
          ["roaming", 3],
        ] as const) {
          const port = strict.ports[lane];
          const sockets = await Promise.all(Array.from({ length: most }, () => begun(port, "127.0.0.2")));
          // Its threads take connections side by side: one more might be taken before the last of these.
          await waitFor("all of them to be counted", async () => (await held("127.0.0.2")) === most || undefined);
          expect(await shakes(port, "127.0.0.2", pki.root, 1_000)).to.equal(false);
          const mine = await pki.issue(DEVICE);
          await strict.register(mine, DEVICE, "cert");
          const another = await open(port, { ca: pki.root, certificate: mine, localAddress: "127.0.0.3" });
          expect((await ask(another, get(""))).status).to.equal(200);
          another.destroy();
          expect(sockets.map(({ closed }) => closed)).to.deep.equal(sockets.map(() => false));
          for (const socket of sockets) socket.destroy();
          const room = async () => (await shakes(port, "127.0.0.2", pki.root, 5_000)) || undefined;
          await waitFor("room for another", room, { timeoutMs: 30_000 });
        }
      });

      it("bound what a source has under way, over however few connections of HTTP/2", async () => {
        await using strict = await makeTerminatorScene({ kind, pki, terminator: { maxConnections: 20 } });
        const from = { ca: pki.root, localAddress: "127.0.0.2" };
        const session = connectHttp2(`https://127.0.0.1:${strict.ports.ip}`, from);
        session.on("error", () => {});
        const statuses: number[] = [];
        const streams = Array.from({ length: 15 }, () => {
          const stream = session.request({ ":path": "/", ":method": "POST", "content-length": 10 }, { endStream: false });
          stream.on("error", () => {}).on("response", (headers) => statuses.push(headers[":status"] ?? 0));
          return stream;
        });
        await waitFor("those over the bound to be refused", () => statuses.length >= 5 || undefined);
        const another = await open(strict.ports.ip, { ca: pki.root, localAddress: "127.0.0.3" });
        expect((await ask(another, get(""))).status).to.equal(200);
        another.destroy();
        expect(statuses).to.deep.equal([429, 429, 429, 429, 429]);
        for (const stream of streams) if (!stream.closed) stream.end("0123456789");
        await waitFor("the others to be served", () => statuses.filter((status) => status === 200).length === 10 || undefined);
        session.destroy();
      });
    }

    it("wait for nobody: a head for 10 s, however it dribbles, a body and a reader that stand still for as long as is written", async () => {
      const { ip: port } = scene.ports;
      const dribbled = await open(port, { ca: pki.root });
      const dribble = setInterval(() => dribbled.write("a"), 500);
      const head = endOf(dribbled, "GET / HTTP/1.1\r\nX-A: ").finally(() => clearInterval(dribble));
      const body = endOf(await open(port, { ca: pki.root }), `POST / HTTP/1.1\r\n${HOST}\r\nContent-Length: 10\r\n\r\nabc`);
      const deaf = await open(port, { ca: pki.root });
      deaf.pause();
      deaf.write(`GET /stream HTTP/1.1\r\n${HOST}\r\n\r\n`);
      await waitFor("the stream to begin", () => scene.streams() === 1 || undefined);
      const before = performance.now();
      const over = () => (scene.streams() === 0 ? performance.now() - before : undefined);
      const reader = waitFor("the stream to be ended", over, { timeoutMs: 90_000 });
      const said = { head: await head, body: await body };
      const told = { haproxy: { head: 408, body: 504 }, nginx: { head: null, body: null } };
      expect({ head: said.head.status, body: said.body.status }).to.deep.equal(told[kind]);
      expect(said.head.afterMs).to.be.within(9_000, 30_000);
      expect(said.body.afterMs).to.be.within(59_000, 90_000);
      expect(await reader).to.be.within(29_000, 90_000);
      deaf.destroy();
    }).timeout(120_000);
  });
}

/** A TCP connection that has not said anything yet. */
async function begun(port: number, localAddress: string): Promise<Socket> {
  const socket = connectTcp({ port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Whether there is a TLS handshake; a connection that is dropped silently just does not answer. */
async function shakes(port: number, localAddress: string, ca: string, withinMs: number): Promise<boolean> {
  const asking: ConnectionOptions & Pick<TcpNetConnectOpts, "localAddress"> = { port, host: "127.0.0.1", ca, localAddress };
  const socket = connectTls(asking);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), withinMs);
  socket
    .on("error", () => {})
    .once("secureConnect", () => resolve(true))
    .once("close", () => resolve(false));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** How a connection ends on which this is written, and when. */
async function endOf(socket: TLSSocket, text: string): Promise<{ readonly status: number | null; readonly afterMs: number }> {
  const before = performance.now();
  let said = "";
  socket.on("data", (data: Buffer) => {
    said += data.toString("latin1");
  });
  const closed = once(socket, "close");
  socket.write(text);
  await closed;
  const status = /^HTTP\/1\.1 (\d{3})/.exec(said)?.[1];
  return { status: status === undefined ? null : Number(status), afterMs: performance.now() - before };
}
