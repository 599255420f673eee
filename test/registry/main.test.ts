import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { freePort } from "../lab/ports.ts";
import { Program, registryScene } from "./programs.ts";

describe("entityos-registry", () => {
  const scene = registryScene();
  const { run, contents } = scene;

  it("init makes state, keys, Storage and profile; a second time changes nothing and says so", async () => {
    const first = await run("init", "--config", scene.config);
    expect(first.exit).to.equal(0);
    expect(first.out).to.contain("profile desktop").and.to.contain("entityos-registry serve --config");
    expect((statSync(join(scene.folder, "state")).mode & 0o777).toString(8)).to.equal("700");
    const before = contents();
    const second = await run("init", "--config", scene.config);
    expect(second.exit).to.equal(0);
    expect(second.out).to.match(/^Nothing to do: all of it is there\.\nepoch: /);
    expect(contents()).to.deep.equal(before);
    expect(/epoch: (.*)/.exec(second.out)?.[1]).to.equal(/epoch: (.*)/.exec(first.out)?.[1]);
  });

  it("serve says on one line that it is ready, and ends in order when it is told to", async () => {
    await run("init", "--config", scene.config);
    await using serving = new Program("entityos-registry", ["serve", "--config", scene.config]);
    const socket = join(scene.folder, "run/control.sock");
    expect(await serving.line()).to.equal(`ready register=${scene.ports.register} control=${scene.ports.control} socket=${socket}`);
    expect((statSync(socket).mode & 0o777).toString(8)).to.equal("600");
    expect((statSync(join(scene.folder, "run")).mode & 0o777).toString(8)).to.equal("700");
    serving.child.kill("SIGTERM");
    const end = await serving.ended;
    expect([end.exit, end.out.split("\n").length]).to.deep.equal([0, 2]);
    expect(readdirSync(join(scene.folder, "run"))).to.deep.equal([]);
  });

  it("serve refuses to start beside one that runs, and leaves that one leading", async () => {
    await run("init", "--config", scene.config);
    await using serving = new Program("entityos-registry", ["serve", "--config", scene.config]);
    await serving.line();
    const second = await run("serve", "--config", scene.config);
    expect(second.exit).to.equal(69);
    expect(second.err).to.contain("another registry answers there");
    await using cli = new Program("entityos", ["profile", "set", "other", "--socket", join(scene.folder, "run/control.sock")]);
    expect((await cli.ended).exit).to.equal(0);
  });

  it("serve ends when another process takes the lead from it", async () => {
    await run("init", "--config", scene.config);
    await using first = new Program("entityos-registry", ["serve", "--config", scene.config]);
    await first.line();
    const other = join(scene.folder, "other.yaml");
    const text = readFileSync(scene.config, "utf8")
      .replace("/run\n", "/run2\n")
      .replace(String(scene.ports.register), String(await freePort()));
    writeFileSync(other, text.replace(String(scene.ports.control), String(await freePort())));
    await using second = new Program("entityos-registry", ["serve", "--config", other]);
    await second.line();
    const end = await first.ended;
    expect(end.exit).to.equal(69);
    expect(end.err).to.contain("not_leading: Another replica of the registry leads now");
  });

  it("serve replaces a socket file that nobody answers on", async () => {
    await run("init", "--config", scene.config);
    {
      await using killed = new Program("entityos-registry", ["serve", "--config", scene.config]);
      await killed.line();
      killed.child.kill("SIGKILL");
      await killed.ended;
    }
    expect(existsSync(join(scene.folder, "run/control.sock"))).to.equal(true);
    await using serving = new Program("entityos-registry", ["serve", "--config", scene.config]);
    expect(await serving.line()).to.match(/^ready /);
  });

  it("serve never begins with empty Storage, nor without init", async () => {
    const without = await run("serve", "--config", scene.config);
    expect([without.exit, without.err]).to.deep.equal([
      78,
      `entityos-registry: There is no registry here yet: ${scene.folder}/state/pki/root.crt is not there. Run 'entityos-registry init' first.\n`,
    ]);
    await run("init", "--config", scene.config);
    rmSync(join(scene.folder, "state/registry.sqlite"));
    const lost = await run("serve", "--config", scene.config);
    expect([lost.exit, existsSync(join(scene.folder, "state/registry.sqlite"))]).to.deep.equal([78, false]);
  });

  it("serve says which port is taken", async () => {
    await run("init", "--config", scene.config);
    for (const port of [scene.ports.control, scene.ports.register]) {
      const squatter = createServer().listen(port, "127.0.0.1");
      await once(squatter, "listening");
      try {
        const end = await run("serve", "--config", scene.config);
        expect(end.exit).to.equal(69);
        expect(end.err).to.contain("Cannot listen").and.to.contain(String(port)).and.to.contain("EADDRINUSE");
      } finally {
        await new Promise((resolve) => squatter.close(resolve));
      }
    }
  });

  it("serve refuses roles that SQLite cannot have, with exit code 78, and unknown ones with 64", async () => {
    const end = await run("serve", "--role", "register", "--config", scene.config);
    expect([end.exit, end.err]).to.deep.equal([
      78,
      "entityos-registry: Cannot serve the register role alone: Storage is SQLite, which one process writes. Use --role all, which serves both.\n",
    ]);
    const unknown = await run("serve", "--role", "king", "--config", scene.config);
    expect(unknown.exit).to.equal(64);
    expect(unknown.err).to.contain("There is no role 'king': --role is all, register or control.");
  });

  it("check tells every problem together and changes nothing", async () => {
    writeFileSync(scene.config, readFileSync(scene.config, "utf8").replaceAll("[localhost]", "['no name']"));
    const end = await run("check", "--config", scene.config);
    expect(end.exit).to.equal(78);
    expect(end.err.split("\n").slice(1, 5)).to.deep.equal([
      "  register.names.0: 'no name' is neither a host name nor an address",
      "  control.names.0: 'no name' is neither a host name nor an address",
      `  stateDir: ${scene.folder}/state/registry.sqlite is not there: run 'entityos-registry init'`,
      `  stateDir: Cannot use ${scene.folder}/state/pki/root.crt as a certificate: ENOENT: no such file or directory, open '${scene.folder}/state/pki/root.crt'`,
    ]);
    expect(existsSync(join(scene.folder, "state"))).to.equal(false);
  });

  it("says what to do about a configuration or a folder that the system refuses", async () => {
    const absent = await run("check", "--config", `${scene.folder}/absent.yaml`);
    expect([absent.exit, absent.err.split("\n").slice(-2)]).to.deep.equal([78, ["Name it with --config FILE.", ""]]);
    writeFileSync(join(scene.folder, "state"), "");
    const file = await run("init", "--config", scene.config);
    expect([file.exit, file.err]).to.deep.equal([
      78,
      `entityos-registry: EEXIST: file already exists, mkdir '${scene.folder}/state'\nName another place.\n`,
    ]);
  });

  it("check and migrate say when all is well", async () => {
    await run("init", "--config", scene.config);
    expect(await run("check", "--config", scene.config)).to.include({ exit: 0, out: `sound: ${scene.config}\n` });
    expect(await run("migrate", "--config", scene.config)).to.include({
      exit: 0,
      out: `up to date: ${scene.folder}/state/registry.sqlite\n`,
    });
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
