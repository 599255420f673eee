import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makePrivateFolder, writeFileAtomic } from "../../lib/file.ts";

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe("writeFileAtomic", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-file-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("writes text and bytes whole, for the owner alone", () => {
    writeFileAtomic(join(folder, "text"), "größer");
    writeFileAtomic(join(folder, "bytes"), new Uint8Array([0, 255, 10]));
    expect(readFileSync(join(folder, "text"), "utf8")).to.equal("größer");
    expect([...readFileSync(join(folder, "bytes"))]).to.deep.equal([0, 255, 10]);
    expect(mode(join(folder, "text"))).to.equal("600");
  });

  it("replaces what was there, with its own mode, and leaves nothing beside it", () => {
    const path = join(folder, "a");
    writeFileSync(path, "old and longer");
    chmodSync(path, 0o666);
    writeFileAtomic(path, "new", 0o640);
    expect(readFileSync(path, "utf8")).to.equal("new");
    expect(mode(path)).to.equal("640");
    expect(readdirSync(folder)).to.deep.equal(["a"]);
  });

  it("gives the mode that is asked for, whatever the umask is", () => {
    const target = join(folder, "shown");
    const before = process.umask(0o077);
    try {
      writeFileAtomic(target, "a", 0o644);
    } finally {
      process.umask(before);
    }
    expect(statSync(target).mode & 0o777).to.equal(0o644);
  });

  it("leaves the target as it was and nothing beside it when it fails", () => {
    mkdirSync(join(folder, "a"));
    writeFileSync(join(folder, "a", "inner"), "old");
    expect(() => writeFileAtomic(join(folder, "a"), "new")).to.throw(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readFileSync(join(folder, "a", "inner"), "utf8")).to.equal("old");
    expect(readdirSync(folder)).to.deep.equal(["a"]);
  });

  it("throws when the folder is not there", () => {
    expect(() => writeFileAtomic(join(folder, "absent", "a"), "new")).to.throw("ENOENT");
  });

  it("renames another file over the target, so that a reader has the old or the new and never a part", () => {
    const path = join(folder, "a");
    writeFileAtomic(path, "a".repeat(1 << 20));
    const first = statSync(path).ino;
    writeFileAtomic(path, "b".repeat(1 << 20));
    expect(statSync(path).ino).not.to.equal(first);
  });
});

describe("makePrivateFolder", () => {
  it("makes the folder and its parents for the owner alone, and again without complaint", () => {
    const root = mkdtempSync(join(tmpdir(), "eos-file-"));
    try {
      makePrivateFolder(join(root, "a", "b"));
      makePrivateFolder(join(root, "a", "b"));
      expect([mode(join(root, "a")), mode(join(root, "a", "b"))]).to.deep.equal(["700", "700"]);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it("throws where none can be made, and does not try for ever", () => {
    const root = mkdtempSync(join(tmpdir(), "eos-file-"));
    try {
      writeFileSync(join(root, "file"), "");
      expect(() => makePrivateFolder(join(root, "file"))).to.throw("EEXIST");
      expect(() => makePrivateFolder(join(root, "file", "a"))).to.throw("ENOTDIR");
      symlinkSync(join(root, "nowhere"), join(root, "link"));
      expect(() => makePrivateFolder(join(root, "link", "a"))).to.throw("EEXIST");
      expect(() => makePrivateFolder("/proc/a")).to.throw("ENOENT");
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
