import { expect } from "chai";
import { StructureLook } from "../../../agent/nft/look.ts";
import { asOwn, OwnChanges, readRuleEvent } from "../../../agent/nft/own.ts";

const line = (verb: string, chain: string, comment?: string, table = "entityos") =>
  JSON.stringify({ [verb]: { rule: { family: "inet", table, chain, handle: 5, ...(comment ? { comment } : {}), expr: [] } } })
    .replaceAll('":', '": ')
    .replaceAll(',"', ', "');

/** The comments that one of our transactions begins and ends with. */
function words(): [string, string] {
  const comments = asOwn(["add rule inet entityos raw drop"]).flatMap((command) => /comment "([^"]+)"/.exec(command)?.[1] ?? []);
  return [comments[0] ?? "", comments[1] ?? ""];
}

describe("changes of rules that a monitor hears", () => {
  const foreign = (lines: readonly string[]) => {
    const own = new OwnChanges();
    return lines.map((text) => {
      const event = readRuleEvent(text);
      return event === null ? null : own.isForeign(event);
    });
  };
  const [begin, end] = words();

  it("are ours between our words", () => {
    const lines = [line("add", "own", begin), line("delete", "raw"), line("add", "raw"), line("add", "own", end)];
    expect(foreign(lines)).to.deep.equal([false, false, false, false]);
  });
  it("are somebody else's before and after", () => {
    const lines = [line("delete", "raw"), line("add", "own", begin), line("add", "own", end), line("add", "raw")];
    expect(foreign(lines)).to.deep.equal([true, false, false, true]);
  });
  it("are somebody else's under another process's words", () => {
    expect(foreign([line("add", "own", "begin 0000000000000000"), line("add", "raw")])).to.deep.equal([true, true]);
  });
  it("are nobody's business in other tables", () => {
    expect(foreign([line("delete", "raw", undefined, "theirs"), "# new generation 7", "", "{"])).to.deep.equal([null, null, null, null]);
  });
});

describe("two looks at the structure", () => {
  const listing = (parts: { policy?: string; handles?: readonly number[]; own?: number; theirs?: number }) => ({
    nftables: [
      { table: { family: "inet", name: "entityos", handle: 1 } },
      { chain: { family: "inet", table: "entityos", name: "input", handle: 2, policy: parts.policy ?? "drop" } },
      ...(parts.handles ?? [7, 8]).map((handle) => ({ rule: { family: "inet", table: "entityos", chain: "input", handle } })),
      { rule: { family: "inet", table: "entityos", chain: "own", handle: parts.own ?? 9 } },
      { rule: { family: "inet", table: "theirs", chain: "input", handle: parts.theirs ?? 3 } },
      { set: { family: "inet", table: "entityos", name: "ip_v4_32_a", handle: Math.random() } },
    ],
  });
  const said = (first: unknown, second: unknown) => {
    const look = new StructureLook();
    expect(look.take(first)).to.equal(null);
    return look.take(second);
  };

  it("say nothing when nothing of ours changed", () => {
    expect(said(listing({}), listing({ theirs: 4 }))).to.equal(null);
  });
  it("tell of rules and policies that somebody else changed", () => {
    expect(said(listing({}), listing({ handles: [7] }))).to.equal("rules were changed by somebody else");
    expect(said(listing({}), listing({ handles: [7, 8, 12] }))).to.equal("rules were changed by somebody else");
    expect(said(listing({}), listing({ policy: "accept" }))).to.equal("rules were changed by somebody else");
  });
  it("tell of a table that is gone, and not of one that was never there", () => {
    expect(said(listing({}), {})).to.equal("the table is gone");
    expect(said({}, {})).to.equal(null);
    expect(said({}, listing({}))).to.equal(null);
  });
  it("say nothing of what we changed ourselves", () => {
    expect(said(listing({}), listing({ handles: [20, 21], own: 22 }))).to.equal(null);
  });
});
