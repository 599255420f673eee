import { closeSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { namelessFile, rewrite } from "../../../agent/nft/nft.ts";
import { run } from "../../lab/exec.ts";

const SIZE = 64 << 10;

describe("a script in a file without a name", () => {
  const { TMPDIR } = process.env;
  let folder = "";
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-small-"));
    await run(["mount", "-t", "tmpfs", "-o", `size=${SIZE}`, "tmpfs", folder]);
    process.env.TMPDIR = folder;
  });
  after(async () => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
    await run(["umount", "--lazy", folder]);
    rmSync(folder, { recursive: true });
  });

  it("holds one text after another, and is in no folder", () => {
    const file = namelessFile("a longer text");
    try {
      rewrite(file, "ätext");
      expect(readFileSync(`/proc/self/fd/${file}`, "utf8")).to.equal("ätext");
      expect(readdirSync(folder)).to.deep.equal([]);
    } finally {
      closeSync(file);
    }
  });

  it("that the disk has no room for is refused, and leaves neither a file open nor anything on the disk", () => {
    expect(() => namelessFile("x".repeat(2 * SIZE))).to.throw(/^ENOSPC/);
    expect(readdirSync(folder)).to.deep.equal([]);
    // What is open there has room taken.
    const file = namelessFile("x".repeat(SIZE));
    closeSync(file);
  });
});
