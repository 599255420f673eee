import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { connect } from "node:tls";
import { expect } from "chai";
import { LANES } from "../../lib/service.ts";
import { type Capture, type Packet, startCapture } from "../lab/capture.ts";
import { inNetns, run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { type DecisionScene, makeDecisionScene } from "./decision-scene.ts";

const STRANGER = { 4: "203.0.113.77", 6: "2001:db8:0:77::1" } as const;
const ON = { ip: true, ipcert: true, roaming: true };
/** Of a ClientHello with random, no session, one cipher suite and no extension: TLS_RSA_WITH_AES_128_CBC_SHA. */
const oldHello = (version: string) => record("16", `01000029${version}${"5a".repeat(32)}000002002f0100`);
const record = (type: string, body: string) => `${type}0301${(body.length / 2).toString(16).padStart(4, "0")}${body}`;

/** The first thing that TLS 1.3 says. */
async function goodHello(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const wire = new Duplex({ read() {}, write: (chunk: Buffer) => resolve(chunk.toString("hex")) });
  const socket = connect({ socket: wire, rejectUnauthorized: false }).on("error", () => {});
  const hello = await promise;
  socket.destroy();
  return hello;
}

describe("what HAProxy says to a client that has shown no certificate", function () {
  this.timeout(120_000);
  let scene: DecisionScene;
  before(async () => {
    scene = await makeDecisionScene({ kind: "haproxy", addresses: Object.values(STRANGER), lanes: ON });
  });
  after(() => scene[Symbol.asyncDispose]());

  const text = (words: string) => Buffer.from(words).toString("hex");
  /** What is said, and whether the host may say its first flight of TLS before. */
  const CASES: readonly [what: string, hex: (hello: string) => string[], half?: boolean][] = [
    ["plain HTTP", () => [text("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]],
    ["zeros", () => ["00".repeat(300)]],
    ["an SSL 2 hello", () => [`802e0100020015000000100100800200800300800400800500800600400700c0${"61".repeat(16)}`]],
    ["a TLS 1.0 hello", () => [oldHello("0301")]],
    ["a TLS 1.2 hello without a common cipher", () => [oldHello("0303")]],
    ["a record that is too long", () => [`160301ffff${"61".repeat(100)}`]],
    ["nothing, and half of it closed", () => [], true],
    ["a hello, and half of it closed", (hello) => [hello], true],
    ["a hello, then noise in a record", (hello) => [hello, `1703030020${"79".repeat(32)}`]],
    ["a hello, then plain HTTP", (hello) => [hello, text("GET / HTTP/1.1\r\n\r\n")]],
  ];
  for (const family of [4, 6] as const) {
    for (const [what, hex, half = false] of CASES) {
      it(`is no alert, FIN or RST after ${what}, over IPv${family}`, async () => {
        const host = family === 4 ? scene.host.v4 : scene.host.v6;
        await using capture = await startCapture(scene.host.netns, `host ${STRANGER[family]}`);
        const said = hex(await goodHello());
        const { localPort } = await scene.hands.ask("say", { host, localAddress: STRANGER[family], hex: said, half });
        await ended(localPort);
        const wanted = said.length > 1 || (half && said.length > 0) ? "first flight" : "nothing";
        if (wanted !== "nothing") await waitFor("it on the wire", () => spoken(capture, localPort) !== "nothing" || undefined);
        expect(answers(capture, localPort).filter((answer) => /Flags \[[^\]]*[FR]/.test(answer))).to.deep.equal([]);
        expect(spoken(capture, localPort)).to.equal(wanted);
      });
    }
  }

  for (const family of [4, 6] as const) {
    it(`ends where a certificate counts: the connection is closed as ever, and the gate's mark stays on the host, over IPv${family}`, async () => {
      const [device, folder] = ["0198f2c1-7d1e-7000-8000-0123456789ab", mkdtempSync(join(tmpdir(), "eos-certified-"))];
      const { cert, key, fingerprint, serial, notAfter } = await scene.pki.issue(device);
      const entry = { device, pattern: "cert", subject: "ada", serial, issuer: scene.pki.deviceCaId, notAfter };
      scene.desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body: JSON.stringify(entry) });
      await scene.apply();
      for (const [name, pem] of Object.entries({ cert, key, root: scene.pki.root })) writeFileSync(join(folder, name), pem);
      const [filter, tos] = family === 4 ? ["ip", "ip[1] & 0xfc != 0"] : ["ip6", "ip6[0:2] & 0x0fc0 != 0"];
      await using capture = await startCapture(scene.host.netns, `${filter} and host ${STRANGER[family]} and tcp`);
      await using marked = await startCapture(scene.host.netns, `${filter} and host ${STRANGER[family]} and tcp and ${tos}`);
      const host = family === 4 ? scene.host.v4 : `[${scene.host.v6}]`;
      const files = ["-cert", join(folder, "cert"), "-key", join(folder, "key"), "-CAfile", join(folder, "root")];
      const from = family === 4 ? `${STRANGER[4]}:0` : `[${STRANGER[6]}]:0`;
      // It reads until the host closes, and closes after it.
      const client = ["openssl", "s_client", "-quiet", "-bind", from, "-connect", `${host}:443`, ...files];
      const input = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
      const said = await run(inNetns(scene.devices[0]?.netns ?? "", client), { input });
      const answer = said.slice(said.indexOf("{"), said.lastIndexOf("}") + 1);
      rmSync(folder, { recursive: true });
      expect(JSON.parse(answer)).to.deep.include({ "x-entityos-device": device, "x-entityos-lane": "roaming" });
      const isFin = ({ fromPort, text }: Packet) => fromPort === 443 && /Flags \[[^\]]*F/.test(text);
      await waitFor("the host's FIN", () => capture.packets.some(isFin) || undefined, { timeoutMs: 30_000 });
      expect(marked.packets).to.deep.equal([]);
    });
  }

  const answers = (capture: Capture, port: number) =>
    capture.packets.filter((packet) => packet.toPort === port && packet.fromPort === 443).map((packet) => packet.text);
  /** The first flight is some hundred bytes; an alert after it comes in a packet of its own. */
  const spoken = (capture: Capture, port: number) => {
    const lengths = answers(capture, port).map((answer) => Number(/length (\d+)/.exec(answer)?.[1] ?? 0));
    if (lengths.some((length) => length > 0 && length < 100)) return "an alert";
    return lengths.some((length) => length > 0) ? "first flight" : "nothing";
  };

  /** HAProxy has closed it: what it says at that is on the wire, or was dropped. */
  const ended = (port: number) =>
    waitFor("HAProxy to close it", async () => {
      const listeners = LANES.map((lane) => `sport = :${8441 + LANES.indexOf(lane)}`).join(" or ");
      const open = await run([
        ...scene.host.within,
        "ss",
        "-Htn",
        "state",
        "established",
        "state",
        "close-wait",
        `( ${listeners} ) and dport = :${port}`,
      ]);
      return open.trim() === "" || undefined;
    });
});
