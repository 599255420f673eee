import { expect } from "chai";
import type { Rule } from "../../../agent/desired.ts";
import { differenceScripts, lifeSeconds, placeOf } from "../../../agent/nft/elements.ts";
import { NftError, type NftErrorKind } from "../../../agent/nft/error.ts";
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
      "add set inet entityos ip_v4_32_b { type ipv4_addr; flags timeout; gc-interval 10m; }",
      "add element inet entityos ip_v4_32_b { 203.0.113.7 timeout 50s, 203.0.113.8 timeout 50s }",
      "add set inet entityos ipcert_v6_48_b { type ipv6_addr; flags timeout; gc-interval 10m; }",
      "add element inet entityos ipcert_v6_48_b { 2001:db8:: timeout 50s }",
    ]);
    expect(load.next()).to.equal(null);
  });

  it("tells prefixes apart that end alike", () => {
    const load = new ElementLoad(
      [rule("ip", "203.0.113.7/32"), rule("ip", "2001:db8::/32"), rule("ipcert", "203.0.113.7/32"), rule("ip", "203.0.113.8/32")],
      "a",
      () => NOW,
    );
    expect(load.next()?.commands.filter((command) => command.startsWith("add element"))).to.deep.equal([
      "add element inet entityos ip_v4_32_a { 203.0.113.7 timeout 60s, 203.0.113.8 timeout 60s }",
      "add element inet entityos ip_v6_32_a { 2001:db8:: timeout 60s }",
      "add element inet entityos ipcert_v4_32_a { 203.0.113.7 timeout 60s }",
    ]);
  });

  it("comes in smaller transactions where the socket to the kernel takes no more, and loses none", async () => {
    const rules = Array.from({ length: 40_000 }, (_, i) => rule(i % 3 === 0 ? "ip" : "ipcert", `10.0.${i >> 8}.${i & 255}/32`));
    const load = new ElementLoad(rules, "a", () => NOW);
    const written: string[] = [];
    const sizes: number[] = [];
    for (let part = load.next(); part !== null; part = load.next()) {
      await load.run(part, async ({ size, commands }) => {
        if (size > 5_000) throw new NftError("full", "Message too long");
        sizes.push(size);
        written.push(...[...commands.join(" ").matchAll(/10\.0\.\d+\.\d+/g)].map(([address]) => `${address}/32`));
      });
    }
    expect(written.toSorted()).to.deep.equal(rules.map(({ prefix }) => prefix).toSorted());
    // The first in quarters, uneven by one as it fills two sets; the next ones are made as small at once.
    expect(sizes).to.deep.equal([4_001, 3_999, 4_001, 3_999, 4_000, 4_000, 4_000, 4_000, 4_000, 4_000]);
  });

  it("gives up when the smallest transaction does not pass, and at once on any other failure", async () => {
    const tried: number[] = [];
    const failing = async (kind: NftErrorKind) => {
      tried.length = 0;
      const load = new ElementLoad(
        Array.from({ length: 5_000 }, (_, i) => rule("ip", `10.0.${i >> 8}.${i & 255}/32`)),
        "a",
        () => NOW,
      );
      const part = load.next();
      if (part === null) throw new Error("nothing to load");
      return await load
        .run(part, async ({ size }) => {
          tried.push(size);
          throw new NftError(kind, "no");
        })
        .catch((error: unknown) => error);
    };
    expect(await failing("full")).to.be.instanceOf(NftError);
    expect(tried).to.deep.equal([5_000, 2_500, 1_250]);
    expect(await failing("exists")).to.be.instanceOf(NftError);
    expect(tried).to.deep.equal([5_000]);
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
