import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

const SCRIPT = join(import.meta.dirname, "../scripts/system-deps");
const NOBODY = 65534;

describe("scripts/system-deps", () => {
  let folder = "";
  const path = (name: string) => join(folder, name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-deps-"));
    chmodSync(folder, 0o755);
    for (const name of ["bin", "lists"]) mkdirSync(path(name));
    writeFileSync(path("lists/a_Packages"), "");
    tool("systemctl", `echo "systemctl $*" >>${path("log")}`);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function tool(name: string, body: string): void {
    writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  }

  /** A stand-in for apt-get that tells what it was asked and whether services could start meanwhile. */
  function aptGet(body: string): void {
    tool("apt-get", `echo "$*" >>${path("log")}\n${path("policy")} >/dev/null || echo "start: $?" >>${path("log")}\n${body}`);
  }

  /** The script with one more tool in its list that no system has, its places in the folder. */
  function run(options: { uid?: number; args?: string[]; absent?: string; hosts?: string } = {}) {
    const text = readFileSync(SCRIPT, "utf8")
      .replace(/^tools='$/m, options.absent === undefined ? "tools='" : `tools='\neos-absent ${options.absent} the test`)
      .replace(/^hosts='$/m, options.hosts === undefined ? "hosts='" : `hosts='\neos-absent-too ${options.hosts} the test`)
      .replace("policy=/usr/sbin/policy-rc.d", `policy=${path("policy")}`)
      .replace("lists=/var/lib/apt/lists", `lists=${path("lists")}`);
    writeFileSync(path("system-deps"), text, { mode: 0o755 });
    return spawnSync(path("system-deps"), options.args ?? [], {
      encoding: "utf8",
      env: { PATH: `${path("bin")}:${process.env.PATH}` },
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    });
  }
  const log = () => (existsSync(path("log")) ? readFileSync(path("log"), "utf8").trimEnd().split("\n") : []);
  const install = (name: string) => `-q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends ${name}`;
  const update = "-q -o DPkg::Lock::Timeout=120 update";

  it("says nothing when all is there, to root and to anybody", () => {
    for (const uid of [undefined, NOBODY]) {
      const { status, stdout, stderr } = run(uid === undefined ? {} : { uid });
      expect({ status, stdout, stderr }).to.deep.equal({ status: 0, stdout: "", stderr: "" });
    }
  });

  it("names every tool of the gate with its package", () => {
    const text = readFileSync(SCRIPT, "utf8");
    const named = [...(text.match(/^tools='\n([^']*)'/m)?.[1] ?? "").matchAll(/^(\S+) (\S+) /gm)].map(
      ([, name, debian]) => `${name} ${debian}`,
    );
    expect(named).to.deep.equal([
      "nft nftables",
      "stdbuf coreutils",
      "setpriv util-linux",
      "haproxy haproxy",
      "nginx nginx",
      "conntrack conntrack",
      "ip iproute2",
      "curl curl",
      "openssl openssl",
      "certtool gnutls-bin",
      "tcpdump tcpdump",
      "faketime faketime",
    ]);
  });

  it("prints the line to run as root to anybody else, and exits 69", () => {
    aptGet("exit 0");
    const { status, stdout, stderr } = run({ uid: NOBODY, absent: "haproxy" });
    expect({ status, stdout }).to.deep.equal({ status: 69, stdout: "" });
    expect(stderr.split("\n")).to.deep.equal([
      "entityOS gate needs tools that are not on this system:",
      "  eos-absent (package haproxy) for the test",
      "Run as root (or install the same by the means of your system):",
      "  apt-get update && apt-get install -y --no-install-recommends haproxy && systemctl disable --now haproxy.service",
      "",
    ]);
    expect(log()).to.deep.equal([]);
  });

  it("asks for what booted hosts need only when they are wanted", () => {
    const text = readFileSync(SCRIPT, "utf8");
    expect(text).to.match(
      /^hosts='\ndebootstrap debootstrap .*\nsystemd-nspawn systemd-container .*\nssh openssh-client .*\nlintian lintian .*\nterraform - .*\n'$/m,
    );
    for (const [args, asked] of [
      [["--check"], false],
      [["--hosts", "--check"], true],
    ] as const) {
      const { stderr } = run({ args: [...args], absent: "tcpdump", hosts: "debootstrap" });
      expect(stderr.includes("  eos-absent-too (package debootstrap) for the test"), args.join()).to.equal(asked);
    }
  });

  it("installs nothing where Debian lacks a tool that is missing, and says which", () => {
    aptGet("exit 0");
    const { status, stderr } = run({ absent: "tcpdump", hosts: "-", args: ["--hosts"] });
    expect(status).to.equal(69);
    expect(stderr).to.equal(
      "entityOS gate needs tools that are not on this system, and that Debian does not have:\n  eos-absent-too for the test\n",
    );
    expect(log()).to.deep.equal([]);
  });

  it("only tells with --check, to root too", () => {
    aptGet("exit 0");
    const { status, stderr } = run({ absent: "tcpdump", args: ["--check"] });
    expect(status).to.equal(69);
    expect(stderr).to.match(/ {2}apt-get update && apt-get install -y --no-install-recommends tcpdump\n$/);
    expect(log()).to.deep.equal([]);
  });

  it("installs as root, starts nothing meanwhile and leaves the services off", () => {
    aptGet("exit 0");
    const { status, stdout } = run({ absent: "haproxy" });
    expect({ status, stdout }).to.deep.equal({ status: 0, stdout: "" });
    expect(log()).to.deep.equal([install("haproxy"), "start: 101", "systemctl disable haproxy.service"]);
    expect(existsSync(path("policy"))).to.equal(false);
  });

  it("updates the lists first when there are none", () => {
    rmSync(path("lists/a_Packages"));
    aptGet("exit 0");
    expect(run({ absent: "curl" }).status).to.equal(0);
    expect(log()).to.deep.equal([update, "start: 101", install("curl"), "start: 101"]);
  });

  it("updates the lists and tries once more when they are old", () => {
    aptGet(`case $* in *update) touch ${path("updated")} ;; *) [ -e ${path("updated")} ] ;; esac`);
    expect(run({ absent: "curl" }).status).to.equal(0);
    expect(log().filter((line) => !line.startsWith("start"))).to.deep.equal([install("curl"), update, install("curl")]);
  });

  it("puts the system's own policy back after a success, a failure and a signal, and exits 69 when it could not install", () => {
    for (const [body, code] of [
      ["exit 0", 0],
      ["exit 100", 69],
      ["kill -TERM $PPID; sleep 0.1", 143],
    ] as const) {
      writeFileSync(path("policy"), "#!/bin/sh\nexit 7\n", { mode: 0o755 });
      aptGet(body);
      expect(run({ absent: "curl" }).status, body).to.equal(code);
      expect(readFileSync(path("policy"), "utf8")).to.equal("#!/bin/sh\nexit 7\n");
      expect(existsSync(path("policy.entityos"))).to.equal(false);
    }
    expect(new Set(log().filter((line) => line.startsWith("start")))).to.deep.equal(new Set(["start: 101"]));
  });

  it("mends what a killed run left: the system's policy put aside, or its own still there", () => {
    aptGet("kill -KILL $PPID");
    writeFileSync(path("policy"), "#!/bin/sh\nexit 7\n", { mode: 0o755 });
    run({ absent: "curl" });
    expect(existsSync(path("policy.entityos"))).to.equal(true);
    aptGet("exit 0");
    run({ absent: "curl" });
    expect(readFileSync(path("policy"), "utf8")).to.equal("#!/bin/sh\nexit 7\n");
    rmSync(path("policy"));
    aptGet("kill -KILL $PPID");
    run({ absent: "curl" });
    expect(existsSync(path("policy"))).to.equal(true);
    aptGet("exit 0");
    run({ absent: "curl" });
    expect(existsSync(path("policy"))).to.equal(false);
  });
});
