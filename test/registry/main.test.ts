import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AwsDouble } from "../aws/double.ts";
import { FakeKms } from "../aws/kms.ts";
import { freePort } from "./admin/control.ts";

const BIN = join(import.meta.dirname, "../../bin");

interface Ended {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}

/** A program of ours as a child; what it prints is gathered. */
class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  out = "";
  err = "";

  constructor(name: string, args: readonly string[]) {
    this.child = spawn(join(BIN, name), args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NOTIFY_SOCKET: "" } });
    this.child.stdout?.on("data", (data) => {
      this.out += data;
    });
    this.child.stderr?.on("data", (data) => {
      this.err += data;
    });
    this.ended = once(this.child, "close").then(([exit]) => ({ exit, out: this.out, err: this.err }));
  }

  /** The first line on standard output; rejects when the program ends without one. */
  async line(): Promise<string> {
    while (!this.out.includes("\n")) {
      const { stdout } = this.child;
      if (stdout === null) throw new Error("no output");
      await Promise.race([once(stdout, "data"), this.ended.then((end) => Promise.reject(new Error(`ended with ${end.exit}: ${end.err}`)))]);
    }
    return this.out.slice(0, this.out.indexOf("\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.ended;
  }
}

describe("entityos-registry", () => {
  let folder: string;
  let config: string;
  let ports: { register: number; control: number };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-registry-"));
    config = join(folder, "registry.yaml");
    ports = { register: await freePort(), control: await freePort() };
    writeFileSync(
      config,
      `name: register.example
stateDir: ${folder}/state
runtimeDir: ${folder}/run
register: { address: 127.0.0.1, port: ${ports.register}, names: [localhost] }
control: { address: 127.0.0.1, port: ${ports.control}, names: [localhost] }
`,
    );
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function run(...args: string[]): Promise<Ended> {
    await using program = new Program("entityos-registry", args);
    return await program.ended;
  }
  const contents = () =>
    Object.fromEntries(readdirSync(join(folder, "state/pki")).map((name) => [name, readFileSync(join(folder, "state/pki", name), "utf8")]));

  it("init makes state, keys, Storage and profile; a second time changes nothing and says so", async () => {
    const first = await run("init", "--config", config);
    expect(first.exit).to.equal(0);
    expect(first.out).to.contain("profile desktop").and.to.contain("entityos-registry serve --config");
    expect((statSync(join(folder, "state")).mode & 0o777).toString(8)).to.equal("700");
    const before = contents();
    const second = await run("init", "--config", config);
    expect(second.exit).to.equal(0);
    expect(second.out).to.match(/^Nothing to do: all of it is there\.\nepoch: /);
    expect(contents()).to.deep.equal(before);
    expect(/epoch: (.*)/.exec(second.out)?.[1]).to.equal(/epoch: (.*)/.exec(first.out)?.[1]);
  });

  it("serve says on one line that it is ready, and ends in order when it is told to", async () => {
    await run("init", "--config", config);
    await using serving = new Program("entityos-registry", ["serve", "--config", config]);
    const socket = join(folder, "run/control.sock");
    expect(await serving.line()).to.equal(`ready register=${ports.register} control=${ports.control} socket=${socket}`);
    expect((statSync(socket).mode & 0o777).toString(8)).to.equal("600");
    expect((statSync(join(folder, "run")).mode & 0o777).toString(8)).to.equal("700");
    serving.child.kill("SIGTERM");
    const end = await serving.ended;
    expect([end.exit, end.out.split("\n").length]).to.deep.equal([0, 2]);
    expect(readdirSync(join(folder, "run"))).to.deep.equal([]);
  });

  it("serve refuses to start beside one that runs, and leaves that one leading", async () => {
    await run("init", "--config", config);
    await using serving = new Program("entityos-registry", ["serve", "--config", config]);
    await serving.line();
    const second = await run("serve", "--config", config);
    expect(second.exit).to.equal(69);
    expect(second.err).to.contain("another registry answers there");
    await using cli = new Program("entityos", ["profile", "set", "other", "--socket", join(folder, "run/control.sock")]);
    expect((await cli.ended).exit).to.equal(0);
  });

  it("serve ends when another process takes the lead from it", async () => {
    await run("init", "--config", config);
    await using first = new Program("entityos-registry", ["serve", "--config", config]);
    await first.line();
    const other = join(folder, "other.yaml");
    const text = readFileSync(config, "utf8")
      .replace("/run\n", "/run2\n")
      .replace(String(ports.register), String(await freePort()));
    writeFileSync(other, text.replace(String(ports.control), String(await freePort())));
    await using second = new Program("entityos-registry", ["serve", "--config", other]);
    await second.line();
    const end = await first.ended;
    expect(end.exit).to.equal(69);
    expect(end.err).to.contain("not_leading: Another replica of the registry leads now");
  });

  it("serve replaces a socket file that nobody answers on", async () => {
    await run("init", "--config", config);
    {
      await using killed = new Program("entityos-registry", ["serve", "--config", config]);
      await killed.line();
      killed.child.kill("SIGKILL");
      await killed.ended;
    }
    expect(existsSync(join(folder, "run/control.sock"))).to.equal(true);
    await using serving = new Program("entityos-registry", ["serve", "--config", config]);
    expect(await serving.line()).to.match(/^ready /);
  });

  it("serve never begins with empty Storage, nor without init", async () => {
    const without = await run("serve", "--config", config);
    expect([without.exit, without.err]).to.deep.equal([
      78,
      `entityos-registry: Cannot serve: ${folder}/state/pki/root.crt is not there. Run 'entityos-registry init' first.\n`,
    ]);
    await run("init", "--config", config);
    rmSync(join(folder, "state/registry.sqlite"));
    const lost = await run("serve", "--config", config);
    expect([lost.exit, existsSync(join(folder, "state/registry.sqlite"))]).to.deep.equal([78, false]);
  });

  it("serve says which port is taken", async () => {
    await run("init", "--config", config);
    for (const port of [ports.control, ports.register]) {
      const squatter = createServer().listen(port, "127.0.0.1");
      await once(squatter, "listening");
      try {
        const end = await run("serve", "--config", config);
        expect(end.exit).to.equal(69);
        expect(end.err).to.contain("Cannot listen").and.to.contain(String(port)).and.to.contain("EADDRINUSE");
      } finally {
        await new Promise((resolve) => squatter.close(resolve));
      }
    }
  });

  it("serve refuses roles that SQLite cannot have, with exit code 78, and unknown ones with 64", async () => {
    const end = await run("serve", "--role", "register", "--config", config);
    expect([end.exit, end.err]).to.deep.equal([
      78,
      "entityos-registry: Cannot serve the register role alone: Storage is SQLite, which one process writes. Use --role all, which serves both.\n",
    ]);
    const unknown = await run("serve", "--role", "king", "--config", config);
    expect(unknown.exit).to.equal(64);
    expect(unknown.err).to.contain("There is no role 'king': --role is all, register or control.");
  });

  it("check tells every problem together and changes nothing", async () => {
    writeFileSync(config, readFileSync(config, "utf8").replaceAll("[localhost]", "['no name']"));
    const end = await run("check", "--config", config);
    expect(end.exit).to.equal(78);
    expect(end.err.split("\n").slice(1, 5)).to.deep.equal([
      "  register.names.0: 'no name' is neither a host name nor an address",
      "  control.names.0: 'no name' is neither a host name nor an address",
      `  stateDir: ${folder}/state/registry.sqlite is not there: run 'entityos-registry init'`,
      `  stateDir: Cannot use ${folder}/state/pki/root.crt as a certificate: ENOENT: no such file or directory, open '${folder}/state/pki/root.crt'`,
    ]);
    expect(existsSync(join(folder, "state"))).to.equal(false);
  });

  it("check and migrate say when all is well", async () => {
    await run("init", "--config", config);
    expect(await run("check", "--config", config)).to.include({ exit: 0, out: `sound: ${config}\n` });
    expect(await run("migrate", "--config", config)).to.include({ exit: 0, out: `up to date: ${folder}/state/registry.sqlite\n` });
  });

  it("inits, checks and serves with the CAs' keys in AWS KMS, also while KMS is away, and says why init cannot", async function () {
    this.timeout(60_000);
    const kms = new FakeKms();
    const arns = ["root", "infrastructure", "device"].map((role) => `${role}: ["${kms.create().arn}"]`);
    await using double = await AwsDouble.start(kms);
    appendFileSync(config, `ca: { signer: { kind: kms, ${arns.join(", ")}, endpoint: "${double.endpoint}" } }\n`);
    Object.assign(process.env, double.environment);
    try {
      double.standing = { kind: "answer", status: 400, type: "AccessDeniedException" };
      const refused = await run("init", "--config", config);
      expect(refused.exit).to.equal(69);
      expect(refused.err).to.match(/^entityos-registry: signer_unavailable: .* \(arn:aws:kms:.*: AccessDeniedException \(400\): /);
      double.standing = null;
      expect((await run("init", "--config", config)).exit).to.equal(0);
      expect(Object.values(contents()).filter((text) => text.includes("PRIVATE")).length).to.equal(3);
      double.standing = { kind: "cut" };
      expect((await run("check", "--config", config)).exit).to.equal(0);
      double.standing = null;
      await using serving = new Program("entityos-registry", ["serve", "--config", config]);
      await serving.line();
      serving.child.kill("SIGTERM");
      expect(((await serving.ended).err + refused.err).includes(double.environment.AWS_SECRET_ACCESS_KEY ?? "")).to.equal(false);
    } finally {
      for (const name of Object.keys(double.environment)) delete process.env[name];
    }
  });

  const misused: readonly [args: string[], exit: number][] = [
    [[], 64],
    [["dance"], 64],
    [["init", "twice"], 64],
    [["init", "--nonsense"], 64],
    [["init", "--config", "/nonexistent"], 78],
    [["--help"], 0],
    [["--version"], 0],
  ];
  for (const [args, exit] of misused) {
    it(`ends with ${exit} for [${args.join(" ")}]`, async () => {
      expect((await run(...args)).exit).to.equal(exit);
    });
  }
});
