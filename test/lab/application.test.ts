import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { readElements } from "../faults/kernel.ts";
import { applicationData, applicationSocket, loginFile } from "./configs.ts";
import { inNetns, run } from "./exec.ts";
import { paths } from "./folder.ts";
import { startLab } from "./lab.ts";
import { LAB } from "./plan.ts";
import { findProcess, sendSignal } from "./processes.ts";
import { agentOf, agentStatus, terminatorOf } from "./programs.ts";
import { PATIENCE_MS, type Registered, Scene } from "./scene.ts";
import { whatToTry } from "./try.ts";
import { waitFor } from "./wait.ts";

/** Devices: two of registered addresses, and one whose certificate admits from anywhere. */
const [DESKTOP, LAPTOP, OTHER] = [0, 1, 2];

interface Said {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
}

describe("the application behind the gate", function () {
  this.timeout(180_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;
  let password: string;
  let other: string;
  let laptop: { readonly device: string; readonly words: readonly string[] };

  before(async () => {
    const lab = stack.use(await startLab({ name: `t-app-${process.pid}`, agents: 1, devices: 3, roaming: 1 }));
    scene = stack.use(await Scene.open(lab));
    password = JSON.parse(readFileSync(loginFile(lab.plan), "utf8")).password;
    await scene.register(DESKTOP, await scene.makeCode("desktop", 1));
    other = ((await scene.register(OTHER, await scene.makeCode("desktop", 1))).body as Registered).device;
    const { device, client } = await scene.certify(LAPTOP, await scene.makeCode("laptop", 1, LAB.certProfile));
    const [cert, key] = ["laptop.crt", "laptop.key"].map((name) => join(lab.plan.folder, name)) as [string, string];
    writeFileSync(cert, client.cert);
    writeFileSync(key, client.key, { mode: 0o600 });
    laptop = { device, words: ["--cert", cert, "--key", key] };
    await scene.applied(await scene.headRevision());
  });
  after(() => stack.disposeAsync());

  /** What curl is answered from inside a device. */
  async function curl(device: number, path: string, ...words: string[]): Promise<Said> {
    const own = device === LAPTOP ? laptop.words : [];
    const url = `https://${scene.host().address}${path}`;
    const command = ["curl", "-s", "-i", "-m", "20", "--path-as-is", "--http1.1", "-H", "Expect:", "--cacert", scene.ca, ...own, ...words];
    const text = await run(inNetns(scene.device(device).netns, [...command, url]));
    const end = text.indexOf("\r\n\r\n");
    return { status: Number(text.split(" ")[1]), headers: text.slice(0, end), body: text.slice(end + 4) };
  }
  const login = (device: number, secret: string, ...words: string[]) =>
    curl(
      device,
      "/login",
      ...["-H", "content-type: application/json", "-d", JSON.stringify({ name: LAB.person, password: secret }), ...words],
    );
  async function session(device: number): Promise<readonly string[]> {
    const { status, headers } = await login(device, password);
    expect(status).to.equal(204);
    const [cookie = "", token = ""] = /^set-cookie: (__Host-session=([\w-]{43}));/im.exec(headers)?.slice(1) ?? [];
    expect(token.length).to.equal(43);
    expect(headers).to.include("; Path=/; Max-Age=28800; Secure; HttpOnly; SameSite=Strict");
    return ["-b", cookie];
  }
  const put = (device: number, name: string, body: string, ...words: readonly string[]) =>
    curl(device, `/files/${name}`, "-X", "PUT", "--data-binary", body, ...words);
  const audited = () => readFileSync(join(applicationData(scene.lab.plan, scene.host()), "audit.log"), "utf8");

  it("knows a device by its certificate and asks the person besides", async () => {
    for (const device of [DESKTOP, LAPTOP]) {
      expect((await curl(device, "/files")).status).to.equal(401);
      expect((await login(device, "wrong")).status).to.equal(401);
      const cookie = await session(device);
      expect((await curl(device, "/files", ...cookie)).body).to.equal("[]");
      expect((await curl(device, "/logout", "-X", "POST", ...cookie)).status).to.equal(204);
      expect((await curl(device, "/files", ...cookie)).status).to.equal(401);
    }
    const lines = audited()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const words = lines.map(({ action, person, device, lane, source }) => [action, person, device, lane, source]);
    const told = (device: string | null, lane: string, index: number) =>
      ["login refused", "login", "logout"].map((action) => [action, "ada", device, lane, scene.device(index).address]);
    expect(words).to.deep.equal([...told(null, "ip", DESKTOP), ...told(laptop.device, "roaming", LAPTOP)]);
    expect(audited()).not.to.include(password);
  });

  it("keeps a session to the device that opened it, and other sites' pages out", async () => {
    const cookie = await session(DESKTOP);
    expect((await curl(DESKTOP, "/files", ...cookie)).status).to.equal(200);
    expect((await curl(OTHER, "/files", ...cookie)).status).to.equal(401);
    expect((await put(DESKTOP, "theirs", "x", ...cookie, "-H", "Sec-Fetch-Site: cross-site")).status).to.equal(403);
    expect((await curl(DESKTOP, "/files", ...cookie)).body).to.equal("[]");
  });

  it("takes files in whole, and sends them whole, in part, or not again", async () => {
    const cookie = await session(LAPTOP);
    expect((await put(LAPTOP, "poem.txt", "0123456789", ...cookie)).status).to.equal(201);
    const whole = await curl(LAPTOP, "/files/poem.txt", ...cookie);
    expect([whole.status, whole.body]).to.deep.equal([200, "0123456789"]);
    const etag = /^etag: (.*)$/im.exec(whole.headers)?.[1]?.trim() ?? "";
    const ask = async (...headers: string[]) => {
      const { status, headers: said, body } = await curl(LAPTOP, "/files/poem.txt", ...cookie, ...headers.flatMap((one) => ["-H", one]));
      return [status, body, /^content-range: (.*)\r?$/im.exec(said)?.[1]?.trim()];
    };
    expect(await ask("Range: bytes=2-4")).to.deep.equal([206, "234", "bytes 2-4/10"]);
    expect(await ask("Range: bytes=7-")).to.deep.equal([206, "789", "bytes 7-9/10"]);
    expect(await ask("Range: bytes=-3")).to.deep.equal([206, "789", "bytes 7-9/10"]);
    expect(await ask("Range: bytes=10-")).to.deep.equal([416, "", "bytes */10"]);
    expect(await ask("Range: bytes=4-2")).to.deep.equal([200, "0123456789", undefined]);
    expect(await ask("Range: bytes=2-4", 'If-Range: "another"')).to.deep.equal([200, "0123456789", undefined]);
    expect(await ask(`If-None-Match: "x", ${etag}`)).to.deep.equal([304, "", undefined]);
    expect((await put(LAPTOP, "poem.txt", "another", ...cookie)).status).to.equal(201);
    expect(await ask(`If-None-Match: ${etag}`)).to.deep.equal([200, "another", undefined]);
    expect((await curl(LAPTOP, "/files", ...cookie)).body).to.equal('["poem.txt"]');
    for (const path of ["/files/..%2faudit.log", "/files/../../audit.log", "/files/.hidden"])
      expect((await curl(LAPTOP, path, ...cookie)).status, path).to.equal(404);
    expect((await curl(LAPTOP, "/files/poem.txt", "-X", "DELETE", ...cookie)).status).to.equal(204);
    expect((await curl(LAPTOP, "/files/poem.txt", ...cookie)).status).to.equal(404);
    expect(audited()).to.include(`"action":"DELETE","what":"poem.txt","person":"ada","device":"${laptop.device}"`);
  });

  it("takes no upload without a length, over its bound, or broken off", async () => {
    const cookie = await session(DESKTOP);
    expect((await put(DESKTOP, "kept", "old", ...cookie)).status).to.equal(201);
    expect((await put(DESKTOP, "kept", "new", ...cookie, "-H", "Transfer-Encoding: chunked")).status).to.equal(411);
    expect((await put(DESKTOP, "kept", "new", ...cookie, "-H", "Content-Length: 67108865")).status).to.equal(413);
    const large = join(scene.lab.plan.folder, "large");
    writeFileSync(large, Buffer.alloc(5_000_000));
    const slow = await put(DESKTOP, "kept", `@${large}`, ...cookie, "--limit-rate", "1M", "-m", "1").catch((error: Error) => error.message);
    expect(slow).to.include("ended with 28");
    const folder = join(applicationData(scene.lab.plan, scene.host()), "files", LAB.person);
    await waitFor("the part to be gone", () => (readdirSync(folder).join() === "kept" ? true : undefined));
    expect((await curl(DESKTOP, "/files/kept", ...cookie)).body).to.equal("old");
  });

  it("lets one device guess ten times a minute, and others log in meanwhile", async () => {
    const statuses = new Set<number>();
    for (let guess = 0; guess < 11; guess++) statuses.add((await login(OTHER, `guess ${guess}`)).status);
    expect([...statuses]).to.deep.equal([401, 429]);
    expect((await login(OTHER, password)).status).to.equal(429);
    await session(DESKTOP);
  });

  it("believes nobody but the gate, on a socket that its owner alone opens", async () => {
    const socket = applicationSocket(scene.lab.plan, scene.host());
    expect(statSync(socket).mode & 0o777).to.equal(0o700);
    const direct = (...words: string[]) =>
      run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket, ...words, "http://localhost/"]);
    expect(await direct()).to.equal("403");
    expect(await direct("-H", "X-EntityOS-Lane: roaming", "-H", "X-Forwarded-For: 203.0.113.9")).to.equal("403");
    expect((await curl(DESKTOP, "/whoami", "-H", `X-EntityOS-Device: ${laptop.device}`)).body).to.equal('{"x-entityos-lane":"ip"}');
  });

  it("is kept from a revoked address at once while the terminator hangs, and from a revoked certificate when it goes on", async () => {
    const { lab } = scene;
    const revoked = await scene.certify(OTHER, await scene.makeCode("visitor", 1, LAB.certProfile));
    await scene.applied(await scene.headRevision());
    expect(await scene.whoAmI(OTHER, scene.host(), revoked.client, PATIENCE_MS)).to.include({ "x-entityos-subject": "visitor" });
    const log = paths(lab.plan).log(agentOf(scene.host()));
    const failures = () => readFileSync(log, "utf8").split("Cannot apply").length;
    const before = failures();
    const master = findProcess(lab.plan.folder, terminatorOf(scene.host()));
    if (master === undefined) throw new Error("no terminator runs");
    sendSignal(master, "SIGSTOP");
    await scene.revokeNow(revoked.device);
    const { revision } = await scene.revokeNow(other);
    const address = `ip ${scene.device(OTHER).address}/32`;
    await waitFor("the address to be gone", async () => !(await readElements(scene.host().netns)).has(address) || undefined);
    // The terminator was waited for by nobody: it has not failed yet.
    expect(failures()).to.equal(before);
    expect((await agentStatus(lab.plan, scene.host()))?.revision).to.be.lessThan(revision);
    sendSignal(master, "SIGCONT");
    await scene.applied(revision);
    expect(await scene.whoAmI(OTHER, scene.host(), revoked.client)).to.equal(null);
  });

  it("is used with a certificate as the story says", async () => {
    const codes = { address: "unused", certificate: await scene.makeCode("you", 1, LAB.certProfile) };
    const text = whatToTry(scene.lab, codes);
    const command = (title: string) => {
      const lines = text.split("\n");
      return lines[lines.findIndex((line) => line.startsWith(`  # ${title}`)) + 1] ?? "";
    };
    const say = (title: string) => run(["sh", "-ec", command(title)]);
    expect(await say("Get a certificate")).to.include("certificate");
    expect(JSON.parse(await say("Come in with it"))).to.include({ "x-entityos-lane": "roaming", "x-entityos-subject": "you" });
    await say("Log in");
    await say("Put a file there");
    expect(await say("Read a part of it")).to.equal("127.");
  });
});
