import { expect } from "chai";
import fc from "fast-check";
import { PackedMap } from "../../agent/packed-map.ts";

const key = fc.oneof(
  fc.constantFrom("", "ip 203.0.113.7/32", "ip 203.0.113.7/3", "ipcert 2001:db8::/64", "é"),
  fc.nat({ max: 60 }).map((n) => `ip 10.0.0.${n}/32`),
);
const step = fc.record({ key, value: fc.option(fc.integer(), { nil: null }) });

describe("packed map", () => {
  it("holds what a Map holds, in the same order, whatever comes and goes", () => {
    fc.assert(
      fc.property(fc.nat({ max: 100 }), fc.array(step, { maxLength: 200 }), (expected, steps) => {
        const [packed, map] = [new PackedMap(expected), new Map<string, number>()];
        for (const { key, value } of steps) {
          for (const either of [packed, map]) {
            if (value === null) either.delete(key);
            else either.set(key, value);
          }
          expect([packed.get(key), packed.size]).to.deep.equal([map.get(key), map.size]);
        }
        expect([...packed.entries()]).to.deep.equal([...map]);
        expect([...packed.keys()]).to.deep.equal([...map.keys()]);
      }),
    );
  });

  it("holds a hundred thousand, forgets half and takes them back", () => {
    const packed = new PackedMap();
    const name = (n: number) => `ip 10.${n >> 16}.${(n >> 8) & 255}.${n & 255}/32`;
    for (let n = 0; n < 100_000; n++) packed.set(name(n), n);
    for (let n = 0; n < 100_000; n += 2) packed.delete(name(n));
    expect([packed.size, packed.get(name(10)), packed.get(name(11))]).to.deep.equal([50_000, undefined, 11]);
    for (let n = 0; n < 100_000; n += 2) packed.set(name(n), -n);
    expect([packed.size, packed.get(name(10)), packed.get(name(99_999))]).to.deep.equal([100_000, -10, 99_999]);
  });

  it("goes on through what was there while everything is changed under it, each at most once", () => {
    const packed = new PackedMap();
    for (let n = 0; n < 100; n++) packed.set(`before ${n}`, n);
    const seen: string[] = [];
    for (const [one] of packed.entries()) {
      seen.push(one);
      packed.delete(one);
      for (let n = 0; n < 5; n++) packed.set(`after ${seen.length} ${n}`, n);
      if (seen.length === 1_000) break;
    }
    expect(new Set(seen).size).to.equal(seen.length);
    expect(seen.filter((one) => one.startsWith("before"))).to.have.lengthOf(100);
  });

  it("refuses keys and values that it could not give back", () => {
    const packed = new PackedMap();
    expect(() => packed.set("ip …", 1)).to.throw(RangeError, "not of one byte a character");
    expect(() => packed.set("x".repeat(256), 1)).to.throw(RangeError, "a key of 256 characters is too long");
    expect(() => packed.set("x", Number.NaN)).to.throw(RangeError, "no number for 'x'");
    expect([packed.size, packed.get("ip …")]).to.deep.equal([0, undefined]);
  });
});
