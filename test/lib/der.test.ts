import { expect } from "chai";
import { integer, integerOf, oid, sequence, set, tagged, tlv } from "../../lib/der.ts";
import { decode, oidOf } from "../../registry/ca/der.ts";

describe("DER from parts", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

  it("writes lengths in their shortest form", () => {
    expect(hex(sequence())).to.equal("3000");
    for (const [bytes, head] of [
      [0x7f, "047f"],
      [0x80, "048180"],
      [0xff, "0481ff"],
      [0x100, "04820100"],
      [0x1_0000, "0483010000"],
    ] as const) {
      const value = tlv(0x04, Buffer.alloc(bytes));
      expect([hex(value).slice(0, head.length), value.length]).to.deep.equal([head, bytes + head.length / 2]);
      expect(decode(value, value.length)).to.be.an("object");
    }
  });

  it("writes whole numbers in their shortest form, and object identifiers as the strict reader reads them", () => {
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
    for (const [dotted, expected] of [
      ["2.5.4.3", "0603550403"],
      ["1.2.840.113549.1.12.10.1.3", "060b2a864886f70d010c0a0103"],
      ["2.16.840.1.101.3.4.1.42", "060960864801650304012a"],
      ["1.3.6.1.5.5.7.3.2", "06082b06010505070302"],
    ] as const) {
      expect(hex(oid(dotted))).to.equal(expected);
      expect(oidOf(decode(oid(dotted), 32))).to.equal(dotted);
    }
  });

  it("puts values around values", () => {
    expect(hex(tagged(0, set(integerOf(3))))).to.equal("a0053103020103");
  });
});
