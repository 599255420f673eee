import { expect } from "chai";
import { integerOf, oidOf, sequenceOf, setOf, taggedOf, wrapped } from "../../lib/der.ts";
import { decode } from "../../registry/ca/der.ts";
import { integer, oid } from "../../registry/ca/der-write.ts";

describe("DER from parts", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

  it("writes lengths in their shortest form", () => {
    expect(hex(sequenceOf())).to.equal("3000");
    for (const [bytes, head] of [
      [0x7f, "047f"],
      [0x80, "048180"],
      [0xff, "0481ff"],
      [0x100, "04820100"],
      [0x1_0000, "0483010000"],
    ] as const) {
      const value = wrapped(0x04, Buffer.alloc(bytes));
      expect([hex(value).slice(0, head.length), value.length]).to.deep.equal([head, bytes + head.length / 2]);
      expect(decode(value, value.length)).to.be.an("object");
    }
  });

  it("writes whole numbers and object identifiers as the strict writer does", () => {
    for (const [value, expected] of [
      [0, "020100"],
      [127, "02017f"],
      [128, "02020080"],
      [100_000, "02030186a0"],
      [2 ** 31 - 1, "02047fffffff"],
    ] as const) {
      expect(hex(integerOf(value))).to.equal(expected);
      expect(hex(integer(Buffer.from(value.toString(16).padStart(8, "0"), "hex")))).to.equal(expected);
    }
    for (const dotted of ["2.5.4.3", "1.2.840.113549.1.12.10.1.3", "2.16.840.1.101.3.4.1.42", "1.3.6.1.5.5.7.3.2"])
      expect(hex(oidOf(dotted))).to.equal(hex(oid(dotted)));
  });

  it("puts values around values", () => {
    expect(hex(taggedOf(0, setOf(integerOf(3))))).to.equal("a0053103020103");
  });
});
