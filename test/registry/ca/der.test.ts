import { expect } from "chai";
import { integer, sequence, time } from "../../../lib/der.ts";
import { decode, encode } from "../../../registry/ca/der.ts";

const hex = (text: string): Buffer => Buffer.from(text, "hex");

describe("DER", () => {
  it("reads what it writes", () => {
    const bytes = sequence(integer(Buffer.of(1)), sequence());
    expect(bytes.toString("hex")).to.equal("30050201013000");
    expect(encode(decode(bytes, 100)).toString("hex")).to.equal("30050201013000");
  });

  it("joins what is encoded with lengths in their shortest form", () => {
    for (const [length, head] of [
      [0x7f, "307f"],
      [0x80, "308180"],
      [0xff, "3081ff"],
      [0x100, "30820100"],
      [0xffff, "3082ffff"],
      [0x10000, "3083010000"],
    ] as const) {
      const joined = sequence(Buffer.alloc(length - 1), Buffer.of(1));
      expect(joined.subarray(0, -length).toString("hex")).to.equal(head);
      expect(joined.at(-1)).to.equal(1);
    }
  });

  it("writes integers as unsigned numbers in their shortest form", () => {
    expect(integer(hex("00000001")).toString("hex")).to.equal("020101");
    expect(integer(hex("80")).toString("hex")).to.equal("02020080");
    expect(integer(hex("00")).toString("hex")).to.equal("020100");
  });

  it("writes times to 2049 as UTCTime and later ones as GeneralizedTime", () => {
    expect(time(Date.parse("2049-12-31T23:59:59Z")).subarray(2).toString()).to.equal("491231235959Z");
    expect(time(Date.parse("2050-01-01T00:00:00Z")).subarray(2).toString()).to.equal("20500101000000Z");
  });

  const refused: readonly [what: string, bytes: string, told: string][] = [
    ["an indefinite length", "308002010100 00".replace(" ", ""), "not DER"],
    ["a length in more bytes than it needs", "308103020101", "not DER: it encodes to other bytes"],
    ["an integer with a needless zero", "300402020001", "not DER: it encodes to other bytes"],
    ["bytes after the value", "3003020101ff", "not DER"],
    ["a value that is cut short", "3005020101", "not DER"],
    ["nothing", "", "not DER"],
    [
      "nesting deeper than 16",
      `${[...Array(17).keys()].map((n) => `30${(32 - 2 * n).toString(16).padStart(2, "0")}`).join("")}`,
      "not DER",
    ],
  ];
  for (const [what, bytes, told] of refused) {
    it(`refuses ${what}`, () => {
      expect(() => decode(hex(bytes), 100))
        .to.throw("")
        .with.property("message")
        .that.matches(new RegExp(`^${told}`));
    });
  }

  it("refuses what is larger than its caller allows before reading it", () => {
    expect(() => decode(Buffer.alloc(101), 100)).to.throw("larger than 100 bytes");
  });

  it("reads nesting of 16", () => {
    const bytes = hex([...Array(16).keys()].map((n) => `30${(30 - 2 * n).toString(16).padStart(2, "0")}`).join(""));
    expect(encode(decode(bytes, 100)).equals(bytes)).to.equal(true);
  });
});
