import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, watch, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { expect } from "chai";
import type { AgentStateName } from "../../agent/lifecycle.ts";
import { AlreadyRunningError, queryStatus, serveStatus, tellAccept } from "../../agent/status.ts";
import { STATUS } from "./status.ts";

/** The rejection of a promise, for its code and text. */
async function failure(work: Promise<unknown>): Promise<NodeJS.ErrnoException> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("it did not fail");
}

const healthOf = (socketPath: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    get({ socketPath, path: "/healthz" }, (response) => resolve(response.resume().statusCode)).once("error", reject);
  });

describe("agent status socket", () => {
  let folder: string;
  let path: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-status-"));
    path = join(folder, "agent.sock");
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it("answers whoever may open it, which is its owner alone", async () => {
    await using _served = await serveStatus(path, { status: () => STATUS });
    expect(await queryStatus(path)).to.deep.equal(STATUS);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
  });

  it("has its mode before it has its name, also where others may enter the folder", async () => {
    const told: string[] = [];
    const watcher = watch(dirname(path));
    const all = new Promise<void>((resolve) => {
      watcher.on("change", (event, file) => {
        if (file === "last") resolve();
        else if (file === basename(path)) told.push(event);
      });
    });
    await using _served = await serveStatus(path, { status: () => STATUS });
    writeFileSync(join(dirname(path), "last"), "");
    await all;
    watcher.close();
    // "change" would be a mode set afterwards.
    expect(told).to.deep.equal(["rename"]);
  });

  it("says that the agent is starting while there is no status", async () => {
    await using _served = await serveStatus(path, { status: () => null });
    expect((await failure(queryStatus(path))).message).to.equal("the agent answered 503: it is still starting");
  });

  it("answers the terminator 200 while it is healthy alone", async () => {
    let state: AgentStateName = "enforcing";
    let starting = false;
    await using _served = await serveStatus(path, { status: () => (starting ? null : { ...STATUS, state }) });
    expect(await healthOf(path)).to.equal(200);
    state = "closed";
    expect(await healthOf(path)).to.equal(503);
    state = "detached";
    expect(await healthOf(path)).to.equal(200);
    starting = true;
    expect(await healthOf(path)).to.equal(503);
  });

  it("hands a local operator's word on, and nothing that is no epoch", async () => {
    const accepted: string[] = [];
    await using _served = await serveStatus(path, { status: () => STATUS, accept: (epoch) => accepted.push(epoch) });
    expect(await tellAccept(path, "e/0%1")).to.deep.equal({ held: { epoch: "e1", revision: 7 } });
    expect((await failure(tellAccept(path, "e 2"))).message).to.include("refuses it");
    expect(accepted).to.deep.equal(["e/0%1"]);
  });

  it("is held by one agent alone", async () => {
    await using _served = await serveStatus(path, { status: () => STATUS });
    expect(await failure(serveStatus(path, { status: () => STATUS }))).to.be.instanceOf(AlreadyRunningError);
    expect((await queryStatus(path)).name).to.equal("host1");
  });

  it("takes the place of a socket that a killed agent left", async () => {
    const listen = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    expect(spawnSync(process.execPath, ["-e", listen]).signal).to.equal("SIGKILL");
    expect(existsSync(path)).to.equal(true);
    await using _served = await serveStatus(path, { status: () => STATUS });
    expect((await queryStatus(path)).state).to.equal("enforcing");
  });

  it("fails with the socket's error when no agent is there", async () => {
    expect((await failure(queryStatus(path))).code).to.equal("ENOENT");
  });
});
