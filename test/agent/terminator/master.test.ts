import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { createMaster, MasterError } from "../../../agent/terminator/master.ts";
import { WorkerMaps } from "../../../agent/terminator/worker-maps.ts";

const CERTIFICATES = 500_000;
const BLOCK = 10_000;
const keyOf = (at: number): string => at.toString(16).toUpperCase().padStart(64, "0");

describe("HAProxy's master", function () {
  this.timeout(300_000);

  it("is asked for a map of 500,000 certificates", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-master-"));
    const path = join(folder, "master.sock");
    const lines = function* (): Generator<string> {
      for (let block = 0; block < CERTIFICATES; block += BLOCK) {
        const of = Array.from(
          { length: BLOCK },
          (_, at) => `0x55d2c0a0b8e0 ${keyOf(block + at)} 4026531839|either|${"d".repeat(36)}|ada\n`,
        );
        yield of.join("");
      }
    };
    // As HAProxy does it, the answer ends with the connection.
    const server = createServer({ allowHalfOpen: true }, async (socket) => {
      socket.resume();
      for (const text of lines()) if (!socket.write(text)) await new Promise((resolve) => socket.once("drain", resolve));
      socket.end();
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      const { signal } = new AbortController();
      const entries = await new WorkerMaps(createMaster(path), folder).entries(1, "/certificates.map", signal);
      expect(entries.size).to.equal(CERTIFICATES);
      expect([...entries.keys()].at(-1)).to.equal(keyOf(CERTIFICATES - 1));
    } finally {
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("has done nothing that it does not answer: one that begins anew drops what it had taken", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-master-"));
    const path = join(folder, "master.sock");
    const answers = ["", "\n"];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.resume();
      socket.end(answers.shift() ?? "");
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      const { signal } = new AbortController();
      const maps = new WorkerMaps(createMaster(path), folder);
      const add = () => maps.add(1, "/gone.map", [{ key: keyOf(1), value: "1" }], signal);
      const dropped = await add().catch((error: unknown) => error);
      expect(dropped instanceof MasterError && dropped.kind).to.equal("away");
      await add();
    } finally {
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
