import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { expect } from "chai";
import fc from "fast-check";
import { REGISTER } from "../../../registry/http/limits.ts";
import { clientAddress, HEAD_BYTES, MAX_REST_BYTES, ProxyHeaderError, parseProxyHead } from "../../../registry/http/proxy-header.ts";
import { freePort } from "../../lab/ports.ts";
import { MemoryLog } from "../admin/control.ts";
import { Harness } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
/** 8.8.4.4:51000 speaking to 9.9.9.9:443, as the specification lays it out. */
const TCP4 = `${SIGNATURE}2111000c0808040409090909c73801bb`;
const TCP6 = `${SIGNATURE}21210024${"26064700000000000000000000000007"}${"2a000000000000000000000000000001"}c73801bb`;
const hex = (text: string): Buffer => Buffer.from(text, "hex");

function read(bytes: Buffer): string | null {
  const head = parseProxyHead(bytes.subarray(0, HEAD_BYTES));
  return clientAddress(head, bytes.subarray(HEAD_BYTES, HEAD_BYTES + head.length));
}

describe("a PROXY header, version 2", () => {
  for (const [what, bytes, address] of [
    ["TCP over IPv4", TCP4, "8.8.4.4"],
    ["TCP over IPv6", TCP6, "2606:4700::7"],
    ["an IPv4 client over IPv6", `${SIGNATURE}21210024${"00000000000000000000ffff08080404"}${"0".repeat(32)}c73801bb`, "8.8.4.4"],
    ["TLVs behind the addresses", `${SIGNATURE}21110012${"0808040409090909c73801bb"}040003000000`, "8.8.4.4"],
    ["LOCAL, whatever it carries", `${SIGNATURE}2000000400000000`, null],
    ["LOCAL with addresses that do not count", `${SIGNATURE}2011000c0808040409090909c73801bb`, null],
  ] as const) {
    it(`is read: ${what}`, () => {
      expect(read(hex(bytes))).to.equal(address);
    });
  }

  for (const [what, bytes] of [
    ["nothing", ""],
    ["version 1", Buffer.from("PROXY TCP4 8.8.4.4 9.9.9.9 51000 443\r\n").toString("hex")],
    ["a TLS record", "16030100c8010000c40303000000000000000000"],
    ["a signature off by one bit", TCP4.replace("0d0a0d0a00", "0d0a0d0a01")],
    ["version 3", TCP4.replace(`${SIGNATURE}21`, `${SIGNATURE}31`)],
    ["version 1 in binary", TCP4.replace(`${SIGNATURE}21`, `${SIGNATURE}11`)],
    ["an unknown command", TCP4.replace(`${SIGNATURE}21`, `${SIGNATURE}22`)],
    ["no family", TCP4.replace("2111", "2100")],
    ["UDP", TCP4.replace("2111", "2112")],
    ["a UNIX socket", `${SIGNATURE}213100d8${"00".repeat(216)}`],
    ["fewer bytes than its addresses", `${SIGNATURE}2111000808080404090909 09`.replace(" ", "")],
    ["IPv6 with IPv4's bytes", TCP4.replace("2111", "2121")],
    ["more than its bound", `${SIGNATURE}2111${(MAX_REST_BYTES + 1).toString(16).padStart(4, "0")}`],
  ] as const) {
    it(`is not: ${what}`, () => {
      expect(() => read(hex(bytes))).to.throw(ProxyHeaderError);
    });
  }

  it("is an address or a refusal, whatever the bytes", () => {
    const tail = fc.uint8Array({ maxLength: 80 });
    fc.assert(
      fc.property(
        fc.oneof(
          tail,
          tail.map((bytes) => Buffer.concat([hex(SIGNATURE), bytes])),
        ),
        (bytes) => {
          try {
            read(Buffer.from(bytes));
          } catch (error) {
            expect(error).to.be.instanceOf(ProxyHeaderError);
          }
        },
      ),
    );
  });
});

describe("register behind load balancers", () => {
  const PROXY = "127.0.0.2";
  let harness: Harness;
  let register: RegisterUnderTest;
  let log: MemoryLog;
  beforeEach(async () => {
    log = new MemoryLog();
    harness = await Harness.open();
    register = await RegisterUnderTest.start(harness, {}, log, [`${PROXY}/32`]);
  });
  afterEach(async () => {
    await register[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  /** A connection from an address of ours that begins with these bytes. */
  async function begun(localAddress: string, ...pieces: Buffer[]): Promise<Socket> {
    const socket = connect({ host: "127.0.0.1", port: register.port, localAddress });
    socket.setNoDelay(true).on("error", () => {});
    await once(socket, "connect");
    for (const piece of pieces) {
      socket.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return socket;
  }
  /** What the registry says of whom it sees; "closed" when it cuts the connection instead. */
  async function seen(socket: Socket): Promise<string> {
    const secure = connectTls({ socket, ca: register.ca, servername: "localhost" });
    const chunks: Buffer[] = [];
    secure.on("error", () => {});
    secure.on("data", (chunk: Buffer) => chunks.push(chunk));
    secure.once("secureConnect", () =>
      secure.write("GET /v1/address HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1\r\nConnection: close\r\n\r\n"),
    );
    await new Promise((resolve) => secure.once("close", resolve));
    return /"address":"([^"]+)"/.exec(Buffer.concat(chunks).toString())?.[1] ?? "closed";
  }

  it("sees the client that a configured load balancer names, in one piece or in many", async () => {
    expect(await seen(await begun(PROXY, hex(TCP4)))).to.equal("8.8.4.4");
    expect(await seen(await begun(PROXY, hex(TCP6)))).to.equal("2606:4700::7");
    expect(await seen(await begun(PROXY, ...Array.from(hex(TCP4), (byte) => Buffer.from([byte]))))).to.equal("8.8.4.4");
  });

  it("sees the load balancer itself in its own words", async () => {
    expect(await seen(await begun(PROXY, hex(`${SIGNATURE}20000000`)))).to.equal(PROXY);
  });

  it("cuts a load balancer that sends no header, version 1, or another family, and says so in the log", async () => {
    expect(await seen(await begun(PROXY))).to.equal("closed");
    expect(await seen(await begun(PROXY, Buffer.from("PROXY TCP4 8.8.4.4 9.9.9.9 51000 443\r\n")))).to.equal("closed");
    expect(await seen(await begun(PROXY, hex(TCP4.replace("2111", "2112"))))).to.equal("closed");
    expect(log.lines.filter((line) => line.startsWith("Cut a load balancer's connection"))).to.have.length(3);
  });

  it("believes no header of anybody else, and serves him without one", async () => {
    expect(await seen(await begun("127.0.0.1", hex(TCP4)))).to.equal("closed");
    expect(await seen(await begun("127.0.0.1"))).to.equal("127.0.0.1");
  });

  it("waits for a header only so long", async function () {
    this.timeout(REGISTER.proxyHeaderTimeoutMs + 10_000);
    const socket = await begun(PROXY, hex(TCP4).subarray(0, 20));
    socket.resume();
    await once(socket, "close");
    expect(log.lines.at(-1)).to.include("no header in time");
  });

  it("limits clients, not their load balancer", async () => {
    await register[Symbol.asyncDispose]();
    register = await RegisterUnderTest.start(harness, { registrationsPerMinute: 1 }, log, [`${PROXY}/32`]);
    const post = async (client: string): Promise<number> => {
      const socket = await begun(PROXY, hex(TCP4.replace("08080404", client)));
      const secure = connectTls({ socket, ca: register.ca, servername: "localhost" });
      await once(secure, "secureConnect");
      secure.write(
        "POST /v1/registrations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
      );
      const [data] = (await once(secure, "data")) as [Buffer];
      secure.destroy();
      return Number(data.toString().slice(9, 12));
    };
    expect([await post("08080404"), await post("08080404"), await post("08080405")]).to.deep.equal([422, 429, 422]);
  });

  it("stands behind a real HAProxy with send-proxy-v2 and its health checks", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-haproxy-"));
    const port = await freePort();
    const config = [
      "global\n  log stderr local0",
      "defaults\n  mode tcp\n  log global\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s",
      `frontend in\n  bind 127.0.0.1:${port}\n  default_backend register`,
      `backend register\n  source ${PROXY}\n  server one 127.0.0.1:${register.port} send-proxy-v2 check inter 100ms`,
    ];
    writeFileSync(join(folder, "haproxy.cfg"), `${config.join("\n")}\n`);
    const haproxy = spawn("haproxy", ["-db", "-f", join(folder, "haproxy.cfg")], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = once(haproxy, "exit");
    try {
      const ask = () =>
        new Promise<string>((resolve, reject) => {
          const options = {
            host: "127.0.0.1",
            port,
            localAddress: "127.0.0.3",
            path: "/v1/address",
            ca: register.ca,
            servername: "localhost",
          };
          const asked = request({ ...options, agent: false }, (answer) => {
            const chunks: Buffer[] = [];
            answer.on("data", (chunk: Buffer) => chunks.push(chunk));
            answer.on("end", () => resolve(String(JSON.parse(Buffer.concat(chunks).toString()).address)));
          });
          asked.on("error", reject);
          asked.end();
        });
      const patiently = async (): Promise<string> => {
        for (;;) {
          const address = await ask().catch(() => null);
          if (address !== null) return address;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
      expect(await patiently()).to.equal("127.0.0.3");
      expect(await ask()).to.equal("127.0.0.3");
    } finally {
      haproxy.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
