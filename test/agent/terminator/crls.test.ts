import { hash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { CrlTexts } from "../../../agent/terminator/crls.ts";
import { encodePem } from "../../../lib/pem.ts";

const large = (id: string, sha256 = "1") => ({ id, sha256, pem: null });

/** Lists that take nothing back. */
const LISTS = { one: Buffer.from("30023000", "hex"), other: Buffer.from("300430020500", "hex") };

describe("lists of revoked certificates that were fetched", () => {
  it("are kept while they are named, and forgotten with them", () => {
    const texts = new CrlTexts();
    texts.keep([large("a"), large("b")], "a", "1", "of a\n");
    texts.keep([large("a"), large("b")], "b", "1", "of b\n");
    expect([texts.text([large("a"), large("b")]), texts.missing([large("a"), large("b", "2")])]).to.deep.equal([
      "a\nof a\nb\nof b\n",
      [large("b", "2")],
    ]);
    texts.keep([large("b", "2")], "b", "2", "newer of b\n");
    expect(texts.text([large("a"), large("b", "2")])).to.equal("b\nnewer of b\n");
  });

  it("are found again in the terminator's file, each under its CA's name, unless nobody names it", () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-crls-"));
    const revocations = join(folder, "crl.pem");
    try {
      const [one, other] = [LISTS.one, LISTS.other].map((der) => encodePem("X509 CRL", der)) as [string, string];
      const small = { id: "small-1", sha256: "1", pem: one };
      const before = new CrlTexts();
      before.keep([large("a-1"), large("b-1")], "a-1", "1", one);
      before.keep([large("a-1"), large("b-1")], "b-1", "1", other);
      writeFileSync(revocations, before.text([large("a-1"), small, large("b-1")]) ?? "");
      const texts = new CrlTexts();
      texts.recall([large("b-1", hash("sha256", LISTS.other))], null);
      expect(texts.text([large("b-1")])).to.equal(null);
      texts.recall([large("b-1", hash("sha256", LISTS.other)), large("c-1")], { revocations });
      expect(texts.text([large("a-1"), large("b-1"), large("c-1")])).to.equal(`b-1\n${other}`);
      expect(texts.missing([large("b-1", hash("sha256", LISTS.other)), large("c-1")])).to.deep.equal([large("c-1")]);
      expect(texts.missing([large("b-1", "2")])).to.deep.equal([large("b-1", "2")]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("are fetched anew when the terminator's file was damaged, each by itself", () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-crls-"));
    const revocations = join(folder, "crl.pem");
    try {
      const damaged = encodePem("X509 CRL", Buffer.from("30093000", "hex"));
      const whole = encodePem("X509 CRL", LISTS.one);
      writeFileSync(revocations, `a-1\n${damaged}b-1\n${whole}`);
      const texts = new CrlTexts();
      const named = [large("a-1"), large("b-1", hash("sha256", LISTS.one))];
      texts.recall(named, { revocations });
      expect([texts.text(named), texts.missing(named)]).to.deep.equal([`b-1\n${whole}`, [large("a-1")]]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("have a bound together: one too many is refused, and the earlier one of that CA stays", () => {
    const texts = new CrlTexts();
    const named = [large("a"), large("b", "2")];
    texts.keep(named, "a", "1", "x".repeat(60), 100);
    texts.keep(named, "b", "1", "x".repeat(40), 100);
    expect(() => texts.keep(named, "b", "2", "x".repeat(41), 100)).to.throw(RangeError, "with it lists have 101 characters, at most 100");
    expect([texts.text(named)?.length, texts.missing(named)]).to.deep.equal([104, [large("b", "2")]]);
  });
});
