import { createPublicKey } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { generateCode, publicKeyFromRaw } from "../../../lib/registration/code.ts";
import { verifySubmission } from "../../../lib/registration/submission.ts";
import { cli, TestRegistry } from "./registry.ts";

describe("entityos enroll", () => {
  let registry: TestRegistry;
  before(async () => {
    registry = await TestRegistry.start();
    await registry.operator("profile", "set", "desktop", "--addresses", "any", "--address-lifetime", "1h");
  });
  after(() => registry[Symbol.asyncDispose]());

  const devices = async () => (await registry.json<{ items: Record<string, unknown>[] }>("device", "list")).items;

  it("registers the device, keeps its key and what it was granted, and says so", async () => {
    const { exit, out } = await registry.enroll("first", await registry.code());
    expect(exit).to.equal(0);
    expect(out).to.match(/^registered with: register\.example\ndevice: +[0-9a-f-]{36}\npattern: +ip\n/);
    expect(out).to.match(/\n127\.0\.0\.1\/32 {2}ip {4}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n$/);
    expect(readdirSync(registry.path("first")).sort()).to.deep.equal(["device.json", "device.key"]);
    for (const file of ["device.json", "device.key"]) expect(statSync(registry.path("first", file)).mode & 0o777).to.equal(0o600);
    const state = JSON.parse(readFileSync(registry.path("first/device.json"), "utf8"));
    const [device] = (await devices()).slice(-1);
    expect(state.device).to.equal(device?.id);
    const status = await cli(["status", "--state", registry.path("first"), "--json"]);
    expect(JSON.parse(status.out)).to.deep.include({ device: state.device, pattern: "ip", registry: "register.example" });
    expect(createPublicKey(readFileSync(registry.path("first/device.key"))).asymmetricKeyType).to.equal("ed25519");
  });

  it("is what status tells of where no registry runs and nothing is named", async () => {
    const before = process.env.XDG_STATE_HOME;
    process.env.XDG_STATE_HOME = registry.path("home");
    try {
      expect((await cli(["status"])).exit).to.equal(69);
      expect((await registry.enroll("home/entityos", await registry.code())).exit).to.equal(0);
      const { exit, out } = await cli(["status"]);
      expect([exit, out.split("\n")[1]]).to.deep.equal([0, `registry:    register.example at ${registry.url}`]);
    } finally {
      if (before === undefined) delete process.env.XDG_STATE_HOME;
      else process.env.XDG_STATE_HOME = before;
    }
  });

  it("registers the addresses it is told", async () => {
    const more = ["--address", "203.0.113.7", "--address", "observed", "--json"];
    const { exit, out } = await registry.enroll("several", await registry.code(), ...more);
    expect(exit).to.equal(0);
    const { addresses } = JSON.parse(out) as { addresses: { prefix: string }[] };
    expect(addresses.map((address) => address.prefix)).to.deep.equal(["203.0.113.7/32", "127.0.0.1/32"]);
  });

  it("takes the code from a file, or from the terminal without an option", async () => {
    writeFileSync(registry.path("code.txt"), `${await registry.code()}\n`);
    const args = ["enroll", "--url", registry.url, "--registry", "register.example", "--ca", registry.ca];
    const byFile = await cli([...args, "--state", registry.path("by-file"), "--code-file", registry.path("code.txt")]);
    expect(byFile.exit).to.equal(0);
    const typed = (await registry.code()).toLowerCase().replaceAll("-", " ");
    expect((await cli([...args, "--state", registry.path("typed")], { typed })).exit).to.equal(0);
    const without = await cli([...args, "--state", registry.path("without")]);
    expect([without.exit, without.err.split("\n")[0]]).to.deep.equal([
      64,
      "usage: There is no terminal to ask for the code: give it with --code-file FILE, or - for standard input.",
    ]);
  });

  it("has no option for the code itself", async () => {
    const { exit, err } = await cli(["enroll", "--url", registry.url, "--code", "X"]);
    expect([exit, err.split("\n")[0]]).to.deep.equal([64, "usage: Unknown option '--code'."]);
  });

  it("does not show a code again that stands where it should not", async () => {
    const code = generateCode().text;
    const as = ["enroll", "--url", registry.url, "--ca", registry.ca];
    const word = await cli([...as, code]);
    expect([word.exit, word.err]).to.deep.equal([
      64,
      "usage: A security code is no argument: others can read command lines. It is asked for, or read by --code-file.\nSee: entityos enroll --help\n",
    ]);
    const file = await cli([...as, "--state", registry.path("shown-code"), "--code-file", code]);
    expect([file.exit, file.err]).to.deep.equal([
      64,
      "usage: --code-file names a file with the code, and is not the code itself.\nSee: entityos enroll --help\n",
    ]);
  });

  it("spends nothing where its folder cannot be made, and says so", async () => {
    writeFileSync(registry.path("no-folder"), "");
    const code = await registry.code();
    const { exit, err } = await registry.enroll("no-folder", code);
    expect([exit, err]).to.deep.equal([
      65,
      `file_refused: EEXIST: file already exists, mkdir '${registry.path("no-folder")}'\nName another place.\n`,
    ]);
    const { items } = await registry.json<{ items: { selector: string; used: number }[] }>("code", "list");
    expect(items.find(({ selector }) => code.replaceAll("-", "").startsWith(selector))?.used).to.equal(0);
  });

  it("tells control's address from register's", async () => {
    const url = `https://localhost:${registry.controlPort}`;
    const args = ["enroll", "--url", url, "--ca", registry.ca, "--state", registry.path("control"), "--code-file", "-"];
    const { exit, err } = await cli(args, { input: generateCode().text });
    expect([exit, err]).to.deep.equal([
      69,
      `unreachable: Cannot reach ${url}: it asks for a certificate, as control does: register has another address\n` +
        "Are the address and the CA right, and does the network let you there?\n",
    ]);
  });

  it("does not enrol twice into one folder, and spends nothing on it", async () => {
    const code = await registry.code();
    expect((await registry.enroll("twice", code)).exit).to.equal(0);
    const key = readFileSync(registry.path("twice/device.key"), "utf8");
    const again = await registry.enroll("twice", await registry.code());
    expect([again.exit, again.err.split(":")[0]]).to.deep.equal([1, "already_enrolled"]);
    expect(readFileSync(registry.path("twice/device.key"), "utf8")).to.equal(key);
  });

  it("tells a mistyped code from a spent and a withdrawn one, and what to do", async () => {
    const code = await registry.code();
    const wrong = `${code.slice(0, -1)}${code.endsWith("0") ? "1" : "0"}`;
    const mistyped = await registry.enroll("mistyped", wrong);
    expect([mistyped.exit, mistyped.err]).to.deep.equal([
      65,
      "code_check: The security code was mistyped: its last character does not fit the others.\nRead the code again, group by group.\n",
    ]);
    expect(existsSync(registry.path("mistyped"))).to.equal(false);
    expect((await registry.enroll("spends", code)).exit).to.equal(0);
    const spent = await registry.enroll("spent", code);
    expect([spent.exit, spent.err.split(":")[0]]).to.deep.equal([77, "code_spent"]);
    expect(existsSync(registry.path("spent/device.json"))).to.equal(false);
    expect(existsSync(registry.path("spent/pending.json"))).to.equal(false);
    const withdrawn = await registry.code();
    await registry.operator("code", "withdraw", withdrawn.slice(0, 9));
    expect((await registry.enroll("withdrawn", withdrawn)).err.split(":")[0]).to.equal("code_withdrawn");
  });

  it("corrects a clock that is wrong, once, by the registry's", async () => {
    const args = ["enroll", "--url", registry.url, "--registry", "register.example", "--ca", registry.ca, "--code-file", "-"];
    const slow = await cli([...args, "--state", registry.path("slow")], {
      input: await registry.code(),
      now: () => Date.now() - 86_400_000,
    });
    expect(slow.err).to.equal("");
    expect(slow.exit).to.equal(0);
  });

  it("signs for the registry's name and for no other", async () => {
    const code = await registry.code();
    const args = ["enroll", "--url", registry.url, "--ca", registry.ca, "--state", registry.path("named"), "--code-file", "-"];
    const { exit, err } = await cli(args, { input: code });
    expect([exit, err.split(":")[0]]).to.deep.equal([77, "proof_refused"]);
  });

  it("trusts the root it is given and no other", async () => {
    await registry.operator("agent", "enroll", "other", "--out", registry.path("other"));
    const args = ["enroll", "--url", registry.url, "--state", registry.path("untrusting"), "--code-file", "-"];
    const { exit, err } = await cli(args, { input: await registry.code() });
    expect(exit).to.equal(69);
    expect(err).to.contain("its certificate is not from a CA that is trusted here (--ca names the file of the root)");
  });

  it("leaks the code nowhere", async () => {
    const code = await registry.code();
    const secret = code.replaceAll("-", "").slice(8, 30);
    const ran = await registry.enroll("secret", code, "--json");
    const kept = readdirSync(registry.path("secret")).map((file) => readFileSync(registry.path("secret", file), "utf8"));
    const everything = [ran.out, ran.err, ...kept, ...registry.log.lines].join("\n").replaceAll("-", "");
    expect(everything).to.contain(code.slice(0, 5)).and.to.not.contain(secret);
  });

  describe("through a network that fails", () => {
    /** Stands before the registry: passes a request on or fails, as told for each in turn, and keeps what came. */
    async function between(plan: readonly ("fail" | "lose" | "503" | "pass")[]) {
      const bodies: string[] = [];
      const keys: string[] = [];
      const { request } = await import("node:https");
      const server = await registry.answering((incoming, response) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk) => chunks.push(chunk));
        incoming.on("end", () => {
          const act = plan[bodies.length] ?? "pass";
          bodies.push(Buffer.concat(chunks).toString());
          keys.push(String(incoming.headers["idempotency-key"]));
          if (act === "fail") return void incoming.socket.destroy();
          if (act === "503") return void response.writeHead(503, { "content-type": "text/plain" }).end("busy");
          const options = {
            host: "localhost",
            port: registry.port,
            ca: readFileSync(registry.ca),
            path: incoming.url,
            method: incoming.method,
            headers: incoming.headers,
          };
          const onward = request(options, (answer) => {
            if (act === "lose") {
              answer.resume();
              answer.on("end", () => incoming.socket.destroy());
              return;
            }
            response.writeHead(answer.statusCode ?? 0, answer.headers);
            answer.pipe(response);
          });
          onward.end(Buffer.concat(chunks));
        });
      });
      return { ...server, bodies, keys };
    }

    const enrollAt = (url: string, state: string, code: string) =>
      cli(`enroll --url ${url} --registry register.example --ca ${registry.ca} --state ${registry.path(state)} --code-file -`.split(" "), {
        input: code,
      });

    it("repeats the same bytes under the same key until there is an answer, and spends one use", async () => {
      await using proxy = await between(["fail", "503", "lose", "pass"]);
      const before = (await devices()).length;
      const code = await registry.code();
      const { exit, err } = await enrollAt(proxy.url, "patient", code);
      expect([exit, err.replaceAll(proxy.url, "URL")]).to.deep.equal([
        0,
        "Cannot reach URL: it ended the connection without an answer; trying again (1 of 5)\nCannot reach URL: the answer is not JSON: is this a registry?; trying again (2 of 5)\nCannot reach URL: it ended the connection without an answer; trying again (3 of 5)\n",
      ]);
      expect([proxy.bodies.length, new Set(proxy.bodies).size, new Set(proxy.keys).size]).to.deep.equal([4, 1, 1]);
      expect(proxy.keys[0]).to.match(/^[A-Za-z0-9_-]{22}$/);
      expect((await devices()).length).to.equal(before + 1);
      expect(proxy.bodies[0]?.replaceAll("-", "")).to.not.contain(code.replaceAll("-", "").slice(8, 20));
    });

    it("gives up after six attempts, and a later run repeats the same request", async () => {
      const code = await registry.code();
      await using dead = await between(["lose", "fail", "fail", "fail", "fail", "fail"]);
      const before = (await devices()).length;
      const first = await enrollAt(dead.url, "later", code);
      expect([first.exit, first.err.split("\n").at(-3)?.split(":")[0], dead.bodies.length]).to.deep.equal([69, "unreachable", 6]);
      expect(readdirSync(registry.path("later")).sort()).to.deep.equal(["device.key", "pending.json"]);
      const second = await enrollAt(dead.url, "later", code);
      expect([second.exit, second.err]).to.deep.equal([0, ""]);
      expect([new Set(dead.bodies).size, (await devices()).length]).to.deep.equal([1, before + 1]);
      expect(readdirSync(registry.path("later")).sort()).to.deep.equal(["device.json", "device.key"]);
    });

    it("does not repeat an earlier request that asked for something else", async () => {
      await using dead = await between(["fail", "fail", "fail", "fail", "fail", "fail"]);
      await enrollAt(dead.url, "changed", await registry.code());
      const { exit } = await enrollAt(dead.url, "changed", await registry.code());
      expect([exit, new Set(dead.bodies).size]).to.deep.equal([0, 2]);
    });
  });

  it("asks for the outcome of what is stored, each time with a proof by the code's key, and believes no other place", async () => {
    const code = generateCode();
    const id = "01a20adb-ff8d-7f53-b4e0-392e0e8e5eae";
    const granted = [{ prefix: "203.0.113.7/32", lane: "ip", expiresAt: Date.now() + 60_000 }];
    const outcome = { id, device: "d", pattern: "ip", addresses: granted, sync: { applied: 1, agents: 2 } };
    const proofs: boolean[] = [];
    const nonces = new Set<string>();
    let location = "https://evil.example/v1/registrations/1";
    await using stub = await registry.answering((request, response) => {
      const json = (status: number, body: object) =>
        response.writeHead(status, { "content-type": "application/json", location }).end(JSON.stringify(body));
      if (request.method === "POST") return json(202, { id, state: "stored" });
      const [nonce = "", time, signature = ""] = ["nonce", "time", "signature"].map((name) => String(request.headers[`entityos-${name}`]));
      const signer = `code:${code.selector}`;
      const asked = { action: "status", registry: "localhost", signer, addresses: [], csrDigest: null, deviceKey: null, nonce } as const;
      proofs.push(verifySubmission({ ...asked, time: Number(time) }, publicKeyFromRaw(code.publicKey), signature));
      nonces.add(nonce);
      return proofs.length < 3 ? json(200, { id, state: "stored" }) : json(200, outcome);
    });
    const args = ["enroll", "--url", stub.url, "--ca", registry.ca, "--state", registry.path("waits"), "--code-file", "-", "--json"];
    const elsewhere = await cli(args, { input: code.text });
    expect([elsewhere.exit, elsewhere.err.split(":")[0], proofs.length]).to.deep.equal([69, "answer_unreadable", 0]);
    location = `/v1/registrations/${id}`;
    const { exit, out } = await cli(args, { input: code.text });
    expect([exit, proofs, nonces.size]).to.deep.equal([0, [true, true, true], 3]);
    expect(JSON.parse(out)).to.deep.include({ device: "d", registration: id, addresses: granted, sync: { applied: 1, agents: 2 } });
  });

  it("shows what a registry answers without letting it speak to the terminal", async () => {
    const problem = { code: "constructor", detail: "gone\u001b]0;owned\u0007\u009b2J\r\u202eno" };
    await using stub = await registry.answering((_request, response) =>
      response.writeHead(403, { "content-type": "application/problem+json" }).end(JSON.stringify(problem)),
    );
    const args = ["enroll", "--url", stub.url, "--ca", registry.ca, "--state", registry.path("shown"), "--code-file", "-"];
    const { exit, err } = await cli(args, { input: generateCode().text });
    expect([exit, err]).to.deep.equal([77, "constructor: gone\\u{1b}]0;owned\\u{7}\\u{9b}2J\\u{d}\\u{202e}no\n"]);
  });
});
