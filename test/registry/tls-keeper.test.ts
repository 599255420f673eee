import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect } from "chai";
import { makeKeyAndCsr, parseCsrPem } from "../../registry/ca/csr.ts";
import { makePki } from "../../registry/ca/files.ts";
import { LIFE_MS } from "../../registry/ca/infrastructure.ts";
import { ownTls, tlsFromFiles } from "../../registry/ca/server-tls.ts";
import { TlsKeeper } from "../../registry/tls-keeper.ts";
import { MemoryLog } from "./admin/control.ts";
import { openPki } from "./ca/open.ts";
import { RegisterUnderTest } from "./http/client.ts";
import { Harness } from "./process/harness.ts";

const DAY_MS = 86_400_000;

describe("a listener's certificate while it is served", () => {
  let folder: string;
  let log: MemoryLog;
  let now: number;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "entityos-tls-"));
    log = new MemoryLog();
    now = Date.now();
    await makePki(folder, now);
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const clock = { now: () => now, monotonic: () => now };
  const file = (name: string) => join(folder, name);
  const files = () => ({ certificate: file("public.crt"), key: file("public.key") });

  /** A pair as an ACME client would write it. */
  async function made(): Promise<{ key: string; certificate: string }> {
    const { key, csr } = await makeKeyAndCsr(null);
    const issued = await openPki(folder).issueServer(parseCsrPem(csr), ["localhost"], now);
    return { key, certificate: issued.pem + openPki(folder).chain };
  }
  const write = ({ key, certificate }: { key: string; certificate: string }): void => {
    writeFileSync(files().key, key);
    writeFileSync(files().certificate, certificate);
  };

  it("of ours is made anew when a third of its life is left, and the same before", async () => {
    const source = ownTls(folder, "control", ["localhost"], openPki(folder));
    const keeper = await TlsKeeper.open({ role: "control", source, clock, log });
    const first = keeper.current;
    now += (LIFE_MS.server * 2) / 3 - DAY_MS;
    expect([await keeper.look(), keeper.current]).to.deep.equal([false, first]);
    now += 2 * DAY_MS;
    expect(await keeper.look()).to.equal(true);
    expect(keeper.current.certificate).not.to.equal(first.certificate);
    expect(readFileSync(file("control.crt"), "utf8")).to.equal(keeper.current.certificate);
    expect(new X509Certificate(keeper.current.certificate).verify(new X509Certificate(openPki(folder).chain).publicKey)).to.equal(true);
  });

  it("from files counts when key and certificate fit together; until then the one before goes on", async () => {
    const [first, second] = [await made(), await made()];
    write(first);
    const keeper = await TlsKeeper.open({ role: "register", source: tlsFromFiles(files()), clock, log });
    writeFileSync(files().certificate, second.certificate);
    expect([await keeper.look(), keeper.current]).to.deep.equal([false, first]);
    expect(log.lines.join()).to.include("server_certificate").and.not.include(second.key.slice(40, 80));
    writeFileSync(files().key, second.key);
    expect([await keeper.look(), keeper.current]).to.deep.equal([true, second]);
    rmSync(files().key);
    expect([await keeper.look(), keeper.current]).to.deep.equal([false, second]);
  });

  it("cannot begin with files that do not fit", async () => {
    const [first, second] = [await made(), await made()];
    write({ key: first.key, certificate: second.certificate });
    const opening = TlsKeeper.open({ role: "register", source: tlsFromFiles(files()), clock, log });
    expect(await opening.catch((error: Error) => error.message)).to.match(/is not the key of/);
  });

  it("is an alarm once when it ends within a week", async () => {
    write(await made());
    const keeper = await TlsKeeper.open({ role: "register", source: tlsFromFiles(files()), clock, log });
    await keeper.look();
    expect(log.lines).to.deep.equal([]);
    now = keeper.life.notAfter - 6 * DAY_MS;
    await keeper.look();
    await keeper.look();
    expect(log.lines.map((line) => line.split(" {")[0])).to.deep.equal(["Certificate ends soon"]);
  });

  it("is shown to new connections at once, while open ones go on", async () => {
    await using harness = await Harness.open();
    await using register = await RegisterUnderTest.start(harness);
    const shown = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: "127.0.0.1", port: register.port, servername: "localhost", rejectUnauthorized: false }, () => {
          resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? "");
          socket.destroy();
        });
        socket.on("error", reject);
      });
    const open = connect({ host: "127.0.0.1", port: register.port, servername: "localhost", rejectUnauthorized: false });
    await new Promise<void>((resolve) => open.once("secureConnect", resolve));
    const before = await shown();
    const { key, certificate: cert } = await made();
    register.useTls({ key, cert });
    expect(await shown())
      .to.equal(new X509Certificate(cert).fingerprint256)
      .and.not.equal(before);
    const answered = new Promise<string>((resolve) => open.once("data", (data: Buffer) => resolve(data.toString().slice(0, 15))));
    open.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(await answered).to.equal("HTTP/1.1 200 OK");
    open.destroy();
  });
});
