import { expect } from "chai";
import { DesiredState } from "../../../agent/desired.ts";
import { NftError } from "../../../agent/nft/error.ts";
import { startNftTarget } from "../../../agent/nft/target.ts";
import { silentLog } from "../../../lib/log.ts";
import { gateConfig } from "../../kernel/gate.ts";
import { FakeNft } from "./fake-nft.ts";

const NOW = 1_000_000;
const T = "entityos";
const { signal } = new AbortController();

async function started(nft = new FakeNft(), gate: object = {}) {
  const clock = { now: NOW };
  const target = await startNftTarget({ config: gateConfig(gate), now: () => clock.now, log: silentLog, signal, nft });
  const desired = new DesiredState();
  const set = (prefix: string, lifeMs = 60_000, lane: "ip" | "ipcert" = "ip") =>
    desired.change({ kind: "rule.set", lane, prefix, expiresAt: clock.now + lifeMs });
  const remove = (prefix: string) => desired.change({ kind: "rule.remove", lane: "ip", prefix });
  const apply = async () => {
    const pending = desired.pending();
    await target.apply(desired, pending, signal);
    desired.acknowledge(pending);
  };
  return { nft, clock, target, desired, set, remove, apply, resync: () => target.resync(desired, signal) };
}

const refusal = async (work: Promise<void>): Promise<string> =>
  work.then(
    () => "done",
    (error: Error) => error.message,
  );

describe("the nft target", () => {
  it("loads a fresh host in one transaction", async () => {
    const { nft, set, resync } = await started();
    set("203.0.113.7/32");
    set("2001:db8:1::/64", 30_000, "ipcert");
    await resync();
    expect(nft.scripts.length).to.equal(1);
    expect(nft.elements(T, "ip_v4_32_a")).to.deep.equal({ "203.0.113.7": 60 });
    expect(nft.elements(T, "ipcert_v6_64_a")).to.deep.equal({ "2001:db8:1::": 30 });
  });

  it("fills the other slot at the next resync and leaves nothing of the old one", async () => {
    const { nft, set, remove, resync } = await started();
    set("203.0.113.7/32");
    set("198.51.100.0/24");
    await resync();
    remove("198.51.100.0/24");
    set("203.0.113.8/32");
    await resync();
    expect(nft.names(T, "sets").filter((name) => name.endsWith("_a"))).to.deep.equal([]);
    expect(nft.elements(T, "ip_v4_32_b")).to.deep.equal({ "203.0.113.7": 60, "203.0.113.8": 60 });
    expect(nft.names(T, "sets")).to.not.include("ip_v4_24_b");
    expect(nft.chain(T, "lane_from")[0]).to.equal("ip saddr @ip_v4_32_b meta mark set 0x454f0001 return");
    expect(nft.names(T, "chains").filter((name) => name.startsWith("format"))).to.deep.equal(["format_1_b"]);
  });

  it("has a standing gate serve until the last element is loaded", async () => {
    const nft = new FakeNft();
    const { desired, resync } = await started(nft);
    for (let i = 0; i < 40_000; i++) desired.load({ lane: "ip", prefix: `10.0.${i >> 8}.${i & 255}/32`, expiresAt: NOW + 60_000 });
    await resync();
    nft.scripts.length = 0;
    await resync();
    const touching = nft.scripts.map((script) => /flush chain inet entityos raw/.test(script));
    expect(touching).to.deep.equal([false, false, false, false, true]);
  });

  it("applies differences to the slot that stands, and nothing else", async () => {
    const { nft, set, remove, apply, resync } = await started();
    await resync();
    await resync();
    nft.scripts.length = 0;
    set("203.0.113.7/32");
    await apply();
    set("203.0.113.7/32", 90_000);
    set("203.0.113.8/32");
    await apply();
    expect(nft.elements(T, "ip_v4_32_b")).to.deep.equal({ "203.0.113.7": 90, "203.0.113.8": 60 });
    remove("203.0.113.7/32");
    await apply();
    expect(nft.elements(T, "ip_v4_32_b")).to.deep.equal({ "203.0.113.8": 60 });
    expect(nft.scripts.length).to.equal(3);
  });

  it("adds a set and its lookups when a prefix length is first used", async () => {
    const { nft, set, apply, resync } = await started();
    await resync();
    set("203.0.113.16/28");
    await apply();
    expect(nft.elements(T, "ip_v4_28_a")).to.deep.equal({ "203.0.113.16": 60 });
    expect(nft.chain(T, "lane_from")).to.include("ip saddr & 255.255.255.240 @ip_v4_28_a meta mark set 0x454f0001 return");
    expect(nft.chain(T, "lane_to")).to.include("ip daddr & 255.255.255.240 @ip_v4_28_a meta mark set 0x454f0001 return");
  });

  it("keeps the sets of a lane that is off filled, without a lookup", async () => {
    const { nft, set, resync } = await started(new FakeNft(), { lanes: { ip: true, ipcert: false } });
    set("203.0.113.7/32", 60_000, "ipcert");
    await resync();
    expect(nft.elements(T, "ipcert_v4_32_a")).to.deep.equal({ "203.0.113.7": 60 });
    expect([...nft.chain(T, "lane_from"), ...nft.chain(T, "lane_to")].filter((rule) => rule.includes("ipcert"))).to.deep.equal([]);
  });

  it("rejects what it could not apply, and everything after it until a resync", async () => {
    const { nft, set, apply, resync } = await started();
    await resync();
    set("203.0.113.7/32");
    nft.failures.push(new NftError("busy", "the kernel refused"));
    expect(await refusal(apply())).to.equal("the kernel refused");
    expect(await refusal(apply())).to.equal("Cannot apply differences before a resync");
    await resync();
    expect(nft.elements(T, "ip_v4_32_b")).to.deep.equal({ "203.0.113.7": 60 });
  });

  it("rejects a resync whose nft was gone, and has changed nothing", async () => {
    const { nft, resync } = await started();
    await resync();
    nft.failures.push(new NftError("gone", "nft ended"));
    expect(await refusal(resync())).to.equal("nft ended");
    expect(nft.chain(T, "lane_from")[0]).to.contain("@ip_v4_32_a");
  });

  it("rejects differences that a flush left without a table", async () => {
    const { nft, set, apply, resync } = await started();
    await resync();
    nft.flush();
    set("203.0.113.7/32");
    expect(await refusal(apply())).to.contain("No such file or directory");
    await resync();
    expect(nft.elements(T, "ip_v4_32_a")).to.deep.equal({ "203.0.113.7": 60 });
  });

  it("replaces a table whose marks name no slot, or both", async () => {
    const nft = new FakeNft();
    await nft.run(`add table inet ${T}\nadd chain inet ${T} format_1_a\nadd chain inet ${T} format_1_b\nadd chain inet ${T} theirs`);
    const { resync } = await started(nft);
    await resync();
    expect(nft.names(T, "chains")).to.include("format_1_a").and.not.include("format_1_b").and.not.include("theirs");
  });
});
