import { expect } from "chai";
import { CrlTexts } from "../../../agent/terminator/crls.ts";

const large = (id: string, sha256 = "1") => ({ id, sha256, pem: null });

describe("lists of revoked certificates that were fetched", () => {
  it("are kept while they are named, and forgotten with them", () => {
    const texts = new CrlTexts();
    texts.keep([large("a"), large("b")], "a", "1", "of a\n");
    texts.keep([large("a"), large("b")], "b", "1", "of b\n");
    expect([texts.text([large("a"), large("b")]), texts.missing([large("a"), large("b", "2")])]).to.deep.equal([
      "of a\nof b\n",
      [large("b", "2")],
    ]);
    texts.keep([large("b", "2")], "b", "2", "newer of b\n");
    expect(texts.text([large("a"), large("b", "2")])).to.equal("newer of b\n");
  });

  it("have a bound together: one too many is refused, and the earlier one of that CA stays", () => {
    const texts = new CrlTexts();
    const named = [large("a"), large("b", "2")];
    texts.keep(named, "a", "1", "x".repeat(60), 100);
    texts.keep(named, "b", "1", "x".repeat(40), 100);
    expect(() => texts.keep(named, "b", "2", "x".repeat(41), 100)).to.throw(RangeError, "with it lists have 101 characters, at most 100");
    expect([texts.text(named)?.length, texts.missing(named)]).to.deep.equal([100, [large("b", "2")]]);
  });
});
