import { type ChildProcess, spawn } from "node:child_process";
import { readlinkSync } from "node:fs";
import { expect } from "chai";
import { DesiredState } from "../../agent/desired.ts";
import { startFloor } from "../../agent/nft/floor.ts";
import { startNftTarget } from "../../agent/nft/target.ts";
import { silentLog } from "../../lib/log.ts";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { gateConfig } from "./gate.ts";

const TIMEOUT_MS = 90_000;

/** A process in a user and a network namespace of its own: root inside, nobody outside. */
class Cell implements AsyncDisposable {
  readonly #child: ChildProcess = spawn("unshare", ["-Urn", "sleep", "600"], { stdio: "ignore" });
  readonly #closed = new Promise<void>((resolve) => this.#child.once("close", () => resolve()));

  async within(): Promise<readonly string[]> {
    const pid = this.#child.pid ?? 0;
    const net = (process: number | "self") => readlinkSync(`/proc/${process}/ns/net`);
    await waitFor("the namespace", () => net(pid) !== net("self") || undefined);
    return ["nsenter", "--preserve-credentials", "--user", "--net", "--target", String(pid), "--"];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}

describe("a host whose nft may not enlarge its socket's buffer", () => {
  it("loads and changes rules by the thousand all the same", async () => {
    await using cell = new Cell();
    const within = await cell.within();
    const { signal } = new AbortController();
    const common = { config: gateConfig(), log: silentLog, signal, within };
    await using _floor = await startFloor({ ...common, onLost: () => {} });
    await using target = await startNftTarget({ ...common, now: () => Date.now() });
    const desired = new DesiredState();
    const expiresAt = Date.now() + 3_600_000;
    const prefix = (i: number) => `2001:db8:${(i + 1).toString(16)}::1/128`;
    for (let i = 0; i < 9_000; i++) desired.load({ lane: "ip", prefix: prefix(i), expiresAt });
    await target.resync(desired, signal);
    for (let i = 0; i < 3_000; i++) desired.change({ kind: "rule.set", lane: "ip", prefix: prefix(i), expiresAt: expiresAt + 1_000 });
    await target.apply(desired, desired.pending(), signal);
    await target.resync(desired, signal);
    const listed = await run([...within, "nft", "list", "table", "inet", "entityos"]);
    expect(listed.match(/2001:db8:[0-9a-f]+::1 timeout/g)?.length).to.equal(9_000);
  }).timeout(TIMEOUT_MS);
});
