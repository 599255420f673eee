import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { createMaster, MasterError } from "../../../agent/terminator/master.ts";
import { WorkerMaps } from "../../../agent/terminator/worker-maps.ts";
import { WorkerList } from "../../../agent/terminator/workers.ts";
import { delay } from "../../../lib/abort.ts";

const CERTIFICATES = 500_000;
const BLOCK = 10_000;
const keyOf = (at: number): string => at.toString(16).toUpperCase().padStart(64, "0");
const { signal } = new AbortController();

interface FakeMaster extends AsyncDisposable {
  readonly folder: string;
  readonly path: string;
}

/** As HAProxy does it, the answer ends with the connection. */
async function startMaster(answer: (socket: Socket) => Promise<void>): Promise<FakeMaster> {
  const folder = mkdtempSync(join(tmpdir(), "eos-master-"));
  const path = join(folder, "master.sock");
  const server = createServer({ allowHalfOpen: true }, (socket) => void answer(socket.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    folder,
    path,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Gives these answers one after the other. */
const startSaying = (...answers: string[]): Promise<FakeMaster> =>
  startMaster(async (socket) => {
    socket.resume().end(answers.shift() ?? "");
  });

const kindOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error: unknown) => (error instanceof MasterError ? error.kind : String(error)),
  );

describe("HAProxy's master", function () {
  this.timeout(300_000);

  it("is asked for a map of 500,000 certificates", async () => {
    const lines = function* (): Generator<string> {
      for (let block = 0; block < CERTIFICATES; block += BLOCK) {
        const of = Array.from(
          { length: BLOCK },
          (_, at) => `0x55d2c0a0b8e0 ${keyOf(block + at)} 4026531839|either|${"d".repeat(36)}|ada\n`,
        );
        yield of.join("");
      }
    };
    await using fake = await startMaster(async (socket) => {
      socket.resume();
      for (const block of lines()) if (!socket.write(block)) await new Promise((resolve) => socket.once("drain", resolve));
      socket.end("\n");
    });
    const entries = await new WorkerMaps(createMaster(fake.path), fake.folder).entries(1, "/certificates.map", signal);
    expect(entries.size).to.equal(CERTIFICATES);
    expect([...entries.keys()].at(-1)).to.equal(keyOf(CERTIFICATES - 1));
  });

  it("has done nothing that it does not answer: one that begins anew drops what it had taken", async () => {
    await using fake = await startSaying("", "\n");
    const maps = new WorkerMaps(createMaster(fake.path), fake.folder);
    const add = () => maps.add(1, "/gone.map", [{ key: keyOf(1), value: "1" }], signal);
    expect(await kindOf(add())).to.equal("away");
    expect(await kindOf(add())).to.equal("done");
  });

  it("has not answered as long as its answer does not end in an empty line: one that begins anew breaks off, of a worker that ended it says so", async () => {
    await using fake = await startSaying(
      "0x55d2 AA 1\n0x55d3 B",
      "0x55d2 AA 1\n",
      "Can't find the target PID matching the prefix '@!1'\n",
      "0x55d2 AA 1\n\n",
    );
    const maps = new WorkerMaps(createMaster(fake.path), fake.folder);
    const kinds: string[] = [];
    for (let at = 0; at < 3; at++) kinds.push(await kindOf(maps.entries(1, "/gone.map", signal)));
    expect(kinds).to.deep.equal(["away", "away", "away"]);
    expect([...(await maps.entries(1, "/gone.map", signal))]).to.deep.equal([["AA", "1"]]);
  });

  it("may say what became of a reload once it has read its files, as HAProxy 2.7 and later do: longer than an answer may take otherwise", async () => {
    let worker = 100;
    let reloads = 0;
    await using fake = await startMaster(async (socket) => {
      if ((await text(socket)) === "reload\n") {
        reloads++;
        await delay(6_000, signal);
        worker++;
        socket.end("Success=1\n--\n");
      } else socket.end(`#<PID> <type>\n1 master 0 [failed: 0] 0d\n# workers\n${worker} worker 0\n# old workers\n\n`);
    });
    expect(await new WorkerList(fake.path).reload(signal)).to.deep.equal({ current: 101, old: [], failed: 0 });
    expect(reloads).to.equal(1);
  });
});
