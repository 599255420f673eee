import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "..");
const PINNED = `node_modules/node-linux-${process.arch}/bin/node`;

describe("the launchers", () => {
  let tree = "";
  const path = (name: string) => join(tree, name);
  beforeEach(() => {
    tree = mkdtempSync(join(tmpdir(), "eos-launchers-"));
    for (const name of ["bin", "scripts"]) cpSync(join(ROOT, name), path(name), { recursive: true });
    write(
      "registry/cli/main.ts",
      "const told: string = process.argv.slice(2).join(); console.log(told, process.pid, process.versions.node);",
    );
    mkdirSync(path("system"));
    for (const tool of ["sh", "dirname", "readlink", "cat"]) symlinkSync(join("/bin", tool), path(`system/${tool}`));
  });
  afterEach(() => rmSync(tree, { recursive: true }));

  function write(name: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(path(name)), { recursive: true });
    writeFileSync(path(name), text, { mode });
  }
  const nodeOfVersion = (name: string, version: string) =>
    write(name, `#!/bin/sh\n[ "$1" = -v ] && echo v${version} || echo ${version}\n`, 0o755);
  const pin = () => {
    mkdirSync(dirname(path(PINNED)), { recursive: true });
    symlinkSync(process.execPath, path(PINNED));
    return spawnSync(process.execPath, [path("scripts/pin-node.cjs")], { encoding: "utf8" });
  };
  const launch = (file = path("bin/entityos")) =>
    spawnSync(file, ["code", "--help"], { cwd: "/", encoding: "utf8", env: { PATH: path("system") } });

  it("start what was built before in the place of the sources, where they are told of it", () => {
    expect(pin().status).to.equal(0);
    write("built/entityos.mjs", 'console.log("built", process.argv.slice(2).join());');
    const options = { cwd: "/", encoding: "utf8", env: { PATH: path("system"), ENTITYOS_BUILT: path("built") } } as const;
    expect(spawnSync(path("bin/entityos"), ["code", "--help"], options).stdout).to.equal("built code,--help\n");
  });

  it("run the pinned Node from any folder, by a link too, with the arguments as they are and under their own number", () => {
    expect(pin().status).to.equal(0);
    symlinkSync(path("bin/entityos"), path("system/linked"));
    for (const file of [path("bin/entityos"), path("system/linked")]) {
      const run = launch(file);
      expect(run.stdout, run.stderr).to.equal(`code,--help ${run.pid} ${process.versions.node}\n`);
    }
  });

  it("take a Node of the system that is new enough when none is pinned", () => {
    symlinkSync(process.execPath, path("system/node"));
    expect(launch().status).to.equal(0);
  });

  it("say what is missing, and exit 69, where there is no Node or an old one", () => {
    expect(launch()).to.include({ status: 69, stderr: `entityOS gate: no Node found; run 'npm ci' in ${tree}\n` });
    nodeOfVersion("system/node", "20.20.2");
    const told = `entityOS gate: needs Node 24 or newer, ${path("system/node")} is v20.20.2; run 'npm ci' in ${tree}\n`;
    expect(launch()).to.include({ status: 69, stderr: told });
  });

  it("have their Node put back where npm 9 deleted the link, as often as it is asked", () => {
    expect(pin().status).to.equal(0);
    expect(readlinkSync(path("node_modules/.bin/node"))).to.equal(`../node-linux-${process.arch}/bin/node`);
    rmSync(path("node_modules/.bin"), { recursive: true });
    for (const _ of [1, 2]) expect(spawnSync(process.execPath, [path("scripts/pin-node.cjs")]).status).to.equal(0);
    expect(launch().status).to.equal(0);
  });

  it("are not installed over a Node that is too old: one sentence says what to do", () => {
    nodeOfVersion(PINNED, "22.1.0");
    const run = spawnSync(process.execPath, [path("scripts/pin-node.cjs")], { encoding: "utf8" });
    expect(run.status).to.equal(1);
    expect(run.stderr).to.match(
      /^entityOS gate needs Node 24 or newer: this is Node 22\.1\.0 .*\nInstall Node 24 .* and run npm ci again\.\n$/,
    );
  });
});
