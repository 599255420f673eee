import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { expect } from "chai";
import { cli, TestRegistry } from "./registry.ts";

describe("entityos, for operators", () => {
  let registry: TestRegistry;
  before(async () => {
    registry = await TestRegistry.start();
  });
  after(() => registry[Symbol.asyncDispose]());

  it("makes a code here, shows it once, and hands on the line to enrol with", async () => {
    const { exit, out } = await registry.operator("code", "create", "--subject", "front office", "--profile", "desktop", "--uses", "3");
    expect(exit).to.equal(0);
    const [, text = ""] = /^code: {4}(\S+)$/m.exec(out) ?? [];
    expect(text).to.match(/^([0-9A-Z]{5}-){6}[0-9A-Z]{5}$/);
    expect(out).to.contain(`\n  entityos enroll --url ${registry.url} --registry register.example --ca ca.pem\n`);
    const listed = await registry.operator("code", "list");
    expect(listed.out).to.match(/^SELECTOR {2}SUBJECT {7}PROFILE {2}USED {4}EXPIRES/);
    expect(listed.out).to.match(new RegExp(`^${text.replaceAll("-", "").slice(0, 8)}  front office  desktop  0 of 3 `, "m"));
  });

  it("never sends the code's secret to control", async () => {
    const text = await registry.code();
    const secret = text.replaceAll("-", "").slice(8);
    const kept = ["registry.sqlite", "registry.sqlite-wal"].map((file) => readFileSync(registry.path("state", file)).toString("latin1"));
    expect(kept.join("")).to.contain(text.replaceAll("-", "").slice(0, 8)).and.to.not.contain(secret.slice(0, 10));
    expect(registry.log.lines.join("\n")).to.not.contain(secret.slice(0, 10));
  });

  it("withdraws a code by its selector, however it is written", async () => {
    const text = await registry.code();
    const typed = `${text.slice(0, 5)}-${text.slice(6, 9)}`.toLowerCase();
    const { exit, out } = await registry.operator("code", "withdraw", typed);
    expect([exit, out]).to.deep.equal([0, `withdrawn: ${text.replaceAll("-", "").slice(0, 8)}, used 0 of 1\n`]);
  });

  it("changes of a profile what is named and leaves the rest", async () => {
    await registry.operator("profile", "set", "office", "--addresses", "203.0.113.0/24,2001:db8::/32", "--address-lifetime", "12h");
    await registry.operator("profile", "set", "office", "--max-addresses", "2", "--pattern", "either");
    const { items } = await registry.json<{ items: { name: string }[] }>("profile", "list");
    expect(items.find((profile) => profile.name === "office")).to.deep.equal({
      name: "office",
      pattern: "either",
      addresses: ["203.0.113.0/24", "2001:db8::/32"],
      addressLifetimeMs: 43_200_000,
      certificateLifetimeMs: 604_800_000,
      maxAddresses: 2,
      widest4: 32,
      widest6: 64,
      observed6: 64,
      plainCode: false,
      reenroll: false,
    });
  });

  it("enrols an agent with files that only their owner reads, and a service's certificate beside them", async () => {
    const out = registry.path("host-1");
    const { exit } = await registry.operator("agent", "enroll", "host-1", "--out", out, "--service", "app.example,203.0.113.10");
    expect(exit).to.equal(0);
    expect(readdirSync(out).sort()).to.deep.equal(["agent.crt", "agent.key", "ca.pem", "service.crt", "service.key"]);
    const text = (file: string) => readFileSync(`${out}/${file}`, "utf8");
    expect([
      statSync(out).mode & 0o777,
      statSync(`${out}/agent.key`).mode & 0o777,
      statSync(`${out}/service.key`).mode & 0o777,
    ]).to.deep.equal([0o700, 0o600, 0o600]);
    const agent = new X509Certificate(text("agent.crt"));
    expect(agent.subjectAltName).to.equal("URI:urn:entityos:agent:host-1");
    expect(agent.checkPrivateKey(createPrivateKey(text("agent.key")))).to.equal(true);
    expect(text("agent.crt").match(/BEGIN CERTIFICATE/g)).to.have.length(2);
    expect(new X509Certificate(text("service.crt")).checkHost("app.example")).to.equal("app.example");
    expect(text("ca.pem")).to.equal(readFileSync(registry.ca, "utf8"));
    expect((await registry.operator("agent", "list")).out).to.match(/^host-1 {2}restricted {2}down {2}0 /m);
  });

  it("leaves a living agent's files alone when its name is taken, and says what to do", async () => {
    const out = registry.path("host-2");
    await registry.operator("agent", "enroll", "host-2", "--out", out);
    const before = readFileSync(`${out}/agent.key`, "utf8");
    const again = await registry.operator("agent", "enroll", "host-2", "--out", registry.path("host-2-again"));
    expect([again.exit, again.err]).to.deep.equal([
      1,
      "agent_exists: There is already an agent 'host-2'.\nChoose another name, or take its place with --replace.\n",
    ]);
    expect(existsSync(registry.path("host-2-again"))).to.equal(false);
    const other = await registry.operator("agent", "enroll", "host-2-other", "--out", out);
    expect([other.exit, other.err.split("\n")[0]]).to.deep.equal([
      64,
      `usage: ${out}/agent.key is there, and may be in use: name another --out, or put a new one in its place with --replace.`,
    ]);
    expect((await registry.operator("agent", "list")).out).to.not.contain("host-2-other");
    expect(readFileSync(`${out}/agent.key`, "utf8")).to.equal(before);
    expect((await registry.operator("agent", "enroll", "host-2", "--out", out, "--replace")).exit).to.equal(0);
    expect(readFileSync(`${out}/agent.key`, "utf8")).to.not.equal(before);
  });

  it("enrols no agent when the service's names are refused", async () => {
    const { exit, err } = await registry.operator("agent", "enroll", "host-3", "--out", registry.path("host-3"), "--service", "no name");
    expect([exit, err.split(":")[0]]).to.deep.equal([65, "server_name"]);
    expect((await registry.operator("agent", "list")).out).to.not.contain("host-3");
    expect(existsSync(registry.path("host-3"))).to.equal(false);
  });

  it("enrols no agent whose files can go nowhere", async () => {
    const { exit, err } = await registry.operator("agent", "enroll", "host-nowhere", "--out", "/proc/a");
    expect([exit, err]).to.deep.equal([65, "file_refused: ENOENT: no such file or directory, mkdir '/proc/a'\nName another place.\n"]);
    expect((await registry.operator("agent", "list")).out).to.not.contain("host-nowhere");
  });

  it("signs requests made where the keys are to stay, and writes no key for them", async () => {
    const host = registry.path("host-4-itself");
    const requested = await cli(["agent", "request", "host-4", "--out", host, "--service"]);
    expect([requested.exit, requested.out.split("\n")[2]]).to.deep.equal([
      0,
      "next:  entityos agent enroll host-4 --csr agent.csr --service NAMES --service-csr service.csr --out DIR, where control is",
    ]);
    expect(readdirSync(host).sort()).to.deep.equal(["agent.csr", "agent.key", "service.csr", "service.key"]);
    const again = await cli(["agent", "request", "host-4", "--out", host]);
    expect([again.exit, again.err.split("\n")[0]]).to.deep.equal([64, `usage: ${host}/agent.key is there; --replace makes another one.`]);

    const out = registry.path("host-4");
    const requests = ["--csr", `${host}/agent.csr`, "--service", "app.example", "--service-csr", `${host}/service.csr`];
    expect((await registry.operator("agent", "enroll", "host-4", "--out", out, ...requests)).exit).to.equal(0);
    expect(readdirSync(out).sort()).to.deep.equal(["agent.crt", "ca.pem", "service.crt"]);
    for (const name of ["agent", "service"]) {
      const certificate = new X509Certificate(readFileSync(`${out}/${name}.crt`));
      expect(certificate.checkPrivateKey(createPrivateKey(readFileSync(`${host}/${name}.key`))), name).to.equal(true);
    }
  });

  it("asks control from afar with an operator's certificate", async () => {
    const out = registry.path("alice");
    expect((await registry.operator("operator", "enroll", "alice", "--out", out)).exit).to.equal(0);
    const url = `https://localhost:${registry.controlPort}`;
    const who = ["--cert", `${out}/operator.crt`, "--key", `${out}/operator.key`, "--ca", `${out}/ca.pem`];
    const status = await cli(["status", "--control", url, ...who, "--json"]);
    expect([status.exit, JSON.parse(status.out).name]).to.deep.equal([0, "register.example"]);
    const made = await cli(["code", "create", "--subject", "x", "--profile", "desktop", "--control", url, ...who]);
    expect(made.exit).to.equal(0);
    expect((await registry.operator("audit", "list", "--limit", "1000")).out).to.match(/ operator:alice +code\.created /);
  });

  it("says to look at the certificate where control takes it for nobody's", async () => {
    await using other = await TestRegistry.start();
    const out = other.path("carol");
    await other.operator("operator", "enroll", "carol", "--out", out);
    const url = `https://localhost:${registry.controlPort}`;
    const who = ["--cert", `${out}/operator.crt`, "--key", `${out}/operator.key`, "--ca", registry.ca];
    const { exit, err } = await cli(["status", "--control", url, ...who]);
    expect([exit, err]).to.deep.equal([
      69,
      `unreachable: Cannot reach ${url}: it ended the connection without an answer\n` +
        "Are the address and the CA right, and does the network let you there?\n" +
        `Is the certificate in ${out}/operator.crt one of its operators', and not revoked (entityos cert list)?\n`,
    ]);
  });

  it("is not permitted to ask with an agent's certificate", async () => {
    const out = registry.path("host-5");
    await registry.operator("agent", "enroll", "host-5", "--out", out);
    const who = ["--cert", `${out}/agent.crt`, "--key", `${out}/agent.key`, "--ca", `${out}/ca.pem`];
    const { exit, err } = await cli(["status", "--control", `https://localhost:${registry.controlPort}`, ...who]);
    expect([exit, err]).to.deep.equal([
      77,
      "request_role: Only operators may ask this.\nUse an operator's certificate (entityos operator enroll), or the local socket.\n",
    ]);
  });

  it("verifies the audit log and pages through it", async () => {
    expect((await registry.operator("audit", "verify")).out).to.match(/^sound: \d+ entries\n$/);
    const first = await registry.operator("audit", "list", "--limit", "1");
    expect(first.out).to.match(/\nmore: --after 1\n$/);
    expect((await registry.operator("audit", "list", "--limit", "1", "--after", "1")).out).to.match(/^2 /m);
  });

  it("says which file is not what it was named for", async () => {
    const [alice, bob] = [registry.path("alice-files"), registry.path("bob-files")];
    for (const [name, out] of [
      ["alice-files", alice],
      ["bob-files", bob],
    ] as const)
      await registry.operator("operator", "enroll", name, "--out", out);
    const asked = async (cert: string, key: string, ca: string) => {
      const url = `https://localhost:${registry.controlPort}`;
      const { exit, err } = await cli(["status", "--control", url, "--cert", cert, "--key", key, "--ca", ca]);
      return [exit, err];
    };
    const [cert, key, ca] = [`${alice}/operator.crt`, `${alice}/operator.key`, `${alice}/ca.pem`];
    const none = (file: string, what: string) => [
      65,
      `file_unusable: Cannot use ${file} as a ${what}: it holds none in PEM, or one that is encrypted.\n`,
    ];
    expect(await asked(cert, cert, ca)).to.deep.equal(none(cert, "private key"));
    expect(await asked(key, key, ca)).to.deep.equal(none(key, "certificate"));
    expect(await asked(cert, key, key)).to.deep.equal(none(key, "certificate"));
    expect(await asked(cert, `${bob}/operator.key`, ca)).to.deep.equal([
      65,
      `file_unusable: ${bob}/operator.key is not the key of the certificate in ${cert}.\n`,
    ]);
  });

  it("says where nobody answers", async () => {
    const { exit, err } = await cli(["status", "--socket", registry.path("nothing.sock")]);
    expect(exit).to.equal(69);
    expect(err).to.equal(
      `unreachable: Cannot reach ${registry.path("nothing.sock")}: there is no such socket\n` +
        "Is the registry running (entityos-registry serve)? Name its socket with --socket, and run as the user it belongs to.\n",
    );
  });

  it("does not let what others wrote move the reader's cursor", async () => {
    const { exit, err } = await registry.operator("code", "create", "--subject", "a\u001b[2Jb", "--profile", "desktop");
    expect([exit, err.split(":")[0]]).to.deep.equal([65, "code_invalid"]);
    const { table } = await import("../../../registry/cli/print.ts");
    expect(table(["A"], [["a\u001b[2Jb\u202e"]])).to.equal("A\na\\u{1b}[2Jb\\u{202e}\n");
  });

  it("lists and revokes certificates, shows CAs and rotates the devices' one", async () => {
    await registry.operator("agent", "enroll", "gone-1", "--out", registry.path("gone"));
    const { items } = await registry.json<{ items: { fingerprint: string; subject: string }[] }>("cert", "list");
    const { fingerprint = "" } = items.find(({ subject }) => subject.endsWith(":gone-1")) ?? {};
    const revoked = await registry.operator("cert", "revoke", fingerprint, "--reason", "keyCompromise");
    expect([revoked.exit, revoked.out.split(",")[0]]).to.deep.equal([0, "revoked: urn:entityos:agent:gone-1"]);
    expect((await registry.operator("cert", "list")).out).to.match(new RegExp(`${fingerprint}.*revoked.*keyCompromise`));
    expect((await registry.operator("cert", "revoke", fingerprint, "--reason", "whim")).exit).to.equal(64);
    const { next } = await registry.json<{ next: string }>("ca", "rotate");
    const shown = await registry.json<readonly { id: string; role: string; crl: unknown }[]>("ca", "show");
    expect(shown.filter(({ role }) => role === "device CA").map(({ id }) => id)).to.include(next);
    expect((await registry.operator("ca", "show")).out).to.match(/^root-[0-9a-f]{8} +root +active +here /m);
  });

  it("helps with every command: usage, options, examples, exit codes", async () => {
    const { out } = await cli(["--help"]);
    const tooLong = (help: string) => (help.split("\nExamples\n")[0] ?? "").split("\n").filter((line) => line.length > 80);
    expect(tooLong(out)).to.deep.equal([]);
    const commands = [...out.matchAll(/^ {2}((?:[a-z]+ )?[a-z]+) {2,}\S/gm)].map((match) => match[1] ?? "");
    expect(commands).to.have.length(26);
    for (const command of commands) {
      const { exit, out } = await cli([...command.split(" "), "--help"]);
      expect([
        exit,
        out.includes(`Usage: entityos ${command}`),
        out.includes("\nExamples\n"),
        out.includes("\nExit codes: "),
        tooLong(out),
      ]).to.deep.equal([0, true, true, true, []]);
    }
  });
});
