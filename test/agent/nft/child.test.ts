import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { expect } from "chai";
import { startNft } from "../../../agent/nft/child.ts";
import { NftError } from "../../../agent/nft/error.ts";
import { silentLog } from "../../../lib/log.ts";
import { waitFor } from "../../lab/wait.ts";

const ANSWER = "payload expression, datatype inet_service (internet network service) (basetype integer), 16 bits";

/** A program in nft's place that follows a shell script for each line; `describe …` is answered unless the script says otherwise. */
class Stand implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "eos-nft-stand-"));
  readonly within: readonly string[];

  /** @param begins what each does before it reads anything, in the folder */
  constructor(cases: string, begins = ":") {
    const program = join(this.folder, "nft");
    const body = `while read -r line; do case "$line" in ${cases}
      describe*) echo "${ANSWER}" ;; *) : ;; esac; done`;
    writeFileSync(
      program,
      `#!/bin/sh\necho $$ >> ${this.folder}/pids\necho "$*" >> ${this.folder}/words\ncd ${this.folder}\n${begins} || exit 1\n${body}\n`,
    );
    chmodSync(program, 0o755);
    this.within = ["env", `PATH=${this.folder}:${process.env.PATH}`];
  }

  get pids(): readonly number[] {
    return readFileSync(join(this.folder, "pids"), "utf8").trim().split("\n").map(Number);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

const LISTS = "list*) echo '{\"nftables\":[]}' ;;";
/** Tells its process. */
const WHO = "list*) echo $$ ;;";
const { signal } = new AbortController();
const bounds = { timeoutMs: 20_000, signal };
const kindOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error: unknown) => (error instanceof NftError ? error.kind : `not an NftError: ${String(error)}`),
  );

describe("the kept-open nft", () => {
  it("kills an nft that does not answer, and asks another one from then on", async () => {
    using stand = new Stand(`${LISTS} hang) exec sleep 60 ;;`);
    await using nft = await startNft({ log: silentLog, signal, within: stand.within });
    expect(await kindOf(nft.run("hang", { timeoutMs: 100, signal }))).to.equal("timeout");
    expect(await kindOf(nft.run("add table inet t", bounds))).to.equal("done");
  });

  it("fails the script in whose middle nft dies, alone", async () => {
    using stand = new Stand(`${LISTS} die) exit 3 ;;`);
    await using nft = await startNft({ log: silentLog, signal, within: stand.within });
    const outcomes = await Promise.all(["add a", "die", "add b"].map((script) => kindOf(nft.run(script, bounds))));
    expect(outcomes).to.deep.equal(["done", "gone", "done"]);
  });

  it("hands one script over at a time and tells errors from the right one", async () => {
    using stand = new Stand(`${LISTS} bad*) echo "Error: Could not process rule: File exists" ;;`);
    await using nft = await startNft({ log: silentLog, signal, within: stand.within });
    const scripts = ["add a", "bad b", "add c", "bad d", "add e"];
    expect(await Promise.all(scripts.map((script) => kindOf(nft.run(script, bounds))))).to.deep.equal([
      "done",
      "exists",
      "done",
      "exists",
      "done",
    ]);
  });

  it("takes a fresh nft after 2,000 scripts, as its history makes it slower and slower; until that one answers the old one serves", async () => {
    using stand = new Stand(WHO, "while [ -e hold ]; do sleep 0.01; done");
    await using nft = await startNft({ log: silentLog, signal, within: stand.within });
    const serving = async () => (await nft.query("list", bounds))[0];
    const [first] = stand.pids;
    writeFileSync(join(stand.folder, "hold"), "");
    for (let i = 0; i < 1_998; i++) await nft.run("add a", bounds);
    expect([await serving(), stand.pids]).to.deep.equal([first, [first]]);
    const second = await waitFor("the second process", () => stand.pids[1]);
    expect(await serving()).to.equal(first);
    rmSync(join(stand.folder, "hold"));
    expect(await waitFor("the second to serve", async () => ((await serving()) === first ? undefined : await serving()))).to.equal(second);
    await waitFor("the first to end", () => (alive(first ?? 0) ? undefined : true));
    expect(stand.pids).to.deep.equal([first, second]);
  });

  it("goes on with the old nft while a fresh one does not answer, and tries again with a later script", async () => {
    using stand = new Stand(WHO, "[ $(wc -l < pids) -ne 2 ]");
    await using nft = await startNft({ log: silentLog, signal, within: stand.within });
    const serving = async () => (await nft.query("list", bounds))[0];
    const [first] = stand.pids;
    for (let i = 0; i < 1_999; i++) await nft.run("add a", bounds);
    const second = await waitFor("the second process", () => stand.pids[1]);
    await waitFor("the second to end", () => (alive(second) ? undefined : true));
    expect(await serving()).to.equal(first);
    for (let i = 0; i < 2_000; i++) await nft.run("add a", bounds);
    const third = await waitFor("the third process", () => stand.pids[2]);
    expect(await waitFor("the third to serve", async () => ((await serving()) === first ? undefined : await serving()))).to.equal(third);
  });

  it("goes on with the old nft when the fresh one ended before it served", async () => {
    using stand = new Stand(`${WHO} describe*) echo "${ANSWER}"; echo $$ >>"$0-answered" ;;`);
    await using nft = await startNft({ log: silentLog, signal, within: stand.within });
    const [first] = stand.pids;
    for (let i = 0; i < 1_999; i++) await nft.run("add a", bounds);
    const second = await waitFor("the second process", () => stand.pids[1]);
    const answered = () => readFileSync(join(stand.folder, "nft-answered"), "utf8").includes(`${second}\n`);
    await waitFor("its answer", () => answered() || undefined);
    process.kill(second, "SIGKILL");
    await waitFor("it to end", () => (alive(second) ? undefined : true));
    // Its end is told in this turn of the event loop or the next.
    await setImmediate();
    await setImmediate();
    expect([await nft.query("list", bounds), await nft.query("list", bounds)]).to.deep.equal([[first], [first]]);
  });

  it("goes on with the old nft while no fresh one can even be started", async () => {
    using stand = new Stand(WHO);
    await using nft = await startNft({ log: silentLog, signal, within: stand.within });
    for (let i = 0; i < 1_998; i++) await nft.run("add a", bounds);
    const { TMPDIR } = process.env;
    try {
      process.env.TMPDIR = "/nonexistent";
      expect([await kindOf(nft.run("add a", bounds)), await kindOf(nft.run("add b", bounds))]).to.deep.equal(["done", "done"]);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
    }
    expect([await nft.query("list", bounds), stand.pids.length]).to.deep.equal([[stand.pids[0]], 1]);
  });

  it("rejects with the signal's reason when it is asked to stop, and leaves no process behind", async () => {
    using stand = new Stand(`${LISTS} hang) exec sleep 60 ;;`);
    const nft = await startNft({ log: silentLog, signal, within: stand.within });
    const stop = new AbortController();
    const reason = new Error("enough");
    const work = nft.run("hang", { timeoutMs: 60_000, signal: stop.signal }).catch((error: unknown) => error);
    await waitFor("the script to be taken", () => readFileSync(join(stand.folder, "words"), "utf8") || undefined);
    stop.abort(reason);
    expect(await work).to.equal(reason);
    await nft[Symbol.asyncDispose]();
    await nft[Symbol.asyncDispose]();

    expect(stand.pids.filter(alive)).to.deep.equal([]);
    expect(await kindOf(nft.run("add a", bounds))).to.equal("gone");
  });

  it("leaves no process behind when it is closed while a fresh one is on its way", async () => {
    using stand = new Stand(WHO, "while [ -e hold ]; do sleep 0.01; done");
    const nft = await startNft({ log: silentLog, signal, within: stand.within });
    writeFileSync(join(stand.folder, "hold"), "");
    for (let i = 0; i < 1_999; i++) await nft.run("add a", bounds);
    await waitFor("the second process", () => stand.pids[1]);
    await nft[Symbol.asyncDispose]();
    expect([stand.pids.length, stand.pids.filter(alive)]).to.deep.equal([2, []]);
  });

  it("says at once when there is no nft, no JSON or no permission", async () => {
    expect(await kindOf(startNft({ log: silentLog, signal, within: ["env", "PATH=/nonexistent"] }))).to.equal("unusable");
    using json = new Stand('list*) echo "Error: JSON support not compiled-in" ;;');
    expect(await kindOf(startNft({ log: silentLog, signal, within: json.within }))).to.equal("unusable");
    using root = new Stand('list*) echo "netlink: Error: cache initialization failed: Operation not permitted" ;;');
    expect(await kindOf(startNft({ log: silentLog, signal, within: root.within }))).to.equal("permission");
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
