import { expect } from "chai";
import type { Rule } from "../../../agent/desired.ts";
import { differenceScripts, lifeSeconds, placeOf } from "../../../agent/nft/elements.ts";
import { ElementLoad } from "../../../agent/nft/load.ts";

const NOW = 1_000_000;
const every = () => true;

describe("the life of an element", () => {
  it("is a whole number of seconds, never more than what is left, never less than one", () => {
    expect(lifeSeconds(NOW + 60_000, NOW)).to.equal(60);
    expect(lifeSeconds(NOW + 60_999, NOW)).to.equal(60);
    expect(lifeSeconds(NOW + 1_000, NOW)).to.equal(1);
  });
  it("is not written below a second: 0 and 0.4 mean forever", () => {
    expect(lifeSeconds(NOW + 999, NOW)).to.equal(null);
    expect(lifeSeconds(NOW + 400, NOW)).to.equal(null);
    expect(lifeSeconds(NOW, NOW)).to.equal(null);
    expect(lifeSeconds(NOW - 60_000, NOW)).to.equal(null);
  });
  it("is ten years at most, however far the expiry", () => {
    expect(lifeSeconds(Number.MAX_SAFE_INTEGER, NOW)).to.equal(315_360_000);
  });
});

describe("differences as nft's JSON", () => {
  const script = (applied: number | null, wanted: number | null, prefix = "203.0.113.7/32") =>
    differenceScripts([{ lane: "ip", prefix, applied, wanted }], "a", NOW, every);

  it("add a new element", () => {
    expect(script(null, NOW + 60_000)).to.deep.equal([
      '{"nftables":[{"add":{"element":{"family":"inet","table":"entityos","name":"ip_v4_32_a","elem":[{"elem":{"val":"203.0.113.7","timeout":60}}]}}}]}',
    ]);
  });
  it("replace an element whose expiry changed in one transaction", () => {
    expect(script(NOW + 5_000, NOW + 60_000)).to.deep.equal([
      '{"nftables":[{"add":{"element":{"family":"inet","table":"entityos","name":"ip_v4_32_a","elem":["203.0.113.7"]}}},' +
        '{"delete":{"element":{"family":"inet","table":"entityos","name":"ip_v4_32_a","elem":["203.0.113.7"]}}},' +
        '{"add":{"element":{"family":"inet","table":"entityos","name":"ip_v4_32_a","elem":[{"elem":{"val":"203.0.113.7","timeout":60}}]}}}]}',
    ]);
  });
  it("remove an element that may be gone already", () => {
    expect(script(NOW + 5_000, null, "2001:db8:1::/64")).to.deep.equal([
      '{"nftables":[{"add":{"element":{"family":"inet","table":"entityos","name":"ip_v6_64_a","elem":["2001:db8:1::"]}}},' +
        '{"delete":{"element":{"family":"inet","table":"entityos","name":"ip_v6_64_a","elem":["2001:db8:1::"]}}}]}',
    ]);
  });
  it("take an element away whose new life is too short to be written", () => {
    expect(script(NOW + 5_000, NOW + 400)).to.deep.equal(script(NOW + 5_000, null));
  });
  it("are nothing for a rule that came and went, or that is over", () => {
    expect(script(null, null)).to.deep.equal([]);
    expect(script(null, NOW + 400)).to.deep.equal([]);
  });
  it("leave sets alone that are not there", () => {
    const gone = [{ lane: "ip" as const, prefix: "203.0.113.0/28", applied: NOW + 5_000, wanted: null }];
    expect(differenceScripts(gone, "a", NOW, () => false)).to.deep.equal([]);
  });
  it("come in transactions of a thousand", () => {
    const many = Array.from({ length: 2_001 }, (_, i) => ({
      lane: "ipcert" as const,
      prefix: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`,
      applied: null,
      wanted: NOW + 60_000,
    }));
    const sizes = differenceScripts(many, "b", NOW, every).map((text) => text.match(/"val"/g)?.length);
    expect(sizes).to.deep.equal([1_000, 1_000, 1]);
  });
});

describe("a whole load", () => {
  const rule = (lane: Rule["lane"], prefix: string, lifeMs = 60_000): Rule => ({ lane, prefix, expiresAt: NOW + lifeMs });

  it("makes the sets that it fills, with the lives that are left when each part is made", () => {
    let nowMs = NOW;
    const load = new ElementLoad(
      [rule("ip", "203.0.113.7/32"), rule("ip", "203.0.113.8/32"), rule("ipcert", "2001:db8::/48"), rule("ip", "203.0.113.9/32", 900)],
      "b",
      () => nowMs,
    );
    nowMs += 10_000;
    expect(load.next()?.commands).to.deep.equal([
      "add set inet entityos ip_v4_32_b { type ipv4_addr; flags timeout; }",
      "add element inet entityos ip_v4_32_b { 203.0.113.7 timeout 50s, 203.0.113.8 timeout 50s }",
      "add set inet entityos ipcert_v6_48_b { type ipv6_addr; flags timeout; }",
      "add element inet entityos ipcert_v6_48_b { 2001:db8:: timeout 50s }",
    ]);
    expect(load.next()).to.equal(null);
  });
  it("is nothing when every rule is over", () => {
    expect(new ElementLoad([rule("ip", "203.0.113.7/32", 999)], "a", () => NOW).next()).to.equal(null);
  });
});

describe("the place of a prefix", () => {
  it("is the set of its lane, family and length", () => {
    expect(placeOf("ip", "203.0.113.0/28")).to.deep.equal({ tuple: { lane: "ip", family: 4, length: 28 }, address: "203.0.113.0" });
    expect(placeOf("ipcert", "2001:db8::/128")).to.deep.equal({ tuple: { lane: "ipcert", family: 6, length: 128 }, address: "2001:db8::" });
  });
});
