import { mkdirSync } from "node:fs";
import { expect } from "chai";
import { z } from "zod";
import { NftError } from "../../agent/nft/error.ts";
import { forbidden, refusalOf } from "../../agent/refusal.ts";
import { ConfigError, loadConfig } from "../../lib/config.ts";

const thrown = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    return error;
  }
};
const system = (code: string) => Object.assign(new Error(`${code}: so`), { code, syscall: "open", path: "/a" });

describe("what ends the agent's program", () => {
  const ends: readonly [what: string, error: unknown, exit: number, says: string][] = [
    ["a wrong setting", new ConfigError("/a", ["b: is missing"]), 78, "Cannot use /a:\n  b: is missing"],
    [
      "a file that is not there",
      thrown(() => loadConfig("/nowhere.yaml", z.object({}))),
      78,
      "Cannot use /nowhere.yaml:\n  the file cannot be read (ENOENT: no such file or directory, open '/nowhere.yaml')\nName it with --config FILE.",
    ],
    [
      "a file that may not be read",
      new ConfigError("/a", ["b"], system("EACCES")),
      77,
      "Cannot use /a:\n  b\nRun as root or as the user that it belongs to, or name another place.",
    ],
    [
      "no right to change tables",
      new NftError("permission", "Operation not permitted"),
      77,
      "nft may not change this network namespace: run as root, or with CAP_NET_ADMIN (Operation not permitted)",
    ],
    ["an nft that hangs", new NftError("timeout", "nft does not answer (so)"), 69, "nft does not answer (so)"],
    [
      "no nft",
      new NftError("unusable", "so"),
      69,
      "nft cannot be used here: install nftables 1.0 or newer with JSON, and coreutils for stdbuf (so)",
    ],
    ["a full disk", system("ENOSPC"), 1, "ENOSPC: so. Make room there, and run the same again."],
    [
      "a folder that is none",
      thrown(() => mkdirSync("/dev/null/a")),
      78,
      "ENOTDIR: not a directory, mkdir '/dev/null/a'. Name another place.",
    ],
    ["a fault of ours", new Error("so"), 70, "so"],
  ];
  for (const [what, error, exit, says] of ends) {
    it(`is ${what}: ${exit}`, () => {
      expect(refusalOf(error)).to.deep.equal({ text: says, exit });
    });
  }

  it("tells who may not ask the agent from an agent that is not there", () => {
    expect(forbidden(system("EACCES"), "/run/a.sock")).to.deep.equal({
      text: "Not permitted to ask the agent on /run/a.sock: run as root",
      exit: 77,
    });
    expect(forbidden(system("ENOENT"), "/run/a.sock")).to.equal(null);
  });
});
