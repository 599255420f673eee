import { expect } from "chai";
import fc from "fast-check";
import { DesiredState } from "../../agent/desired.ts";
import type { Difference } from "../../agent/target.ts";
import { ruleLine, StateDigest } from "../../lib/feed/digest.ts";
import type { Change } from "../../lib/feed/messages.ts";

const PREFIXES = ["203.0.113.1/32", "203.0.113.0/24", "2001:db8::/64"] as const;
const set = (prefix: string, expiresAt: number): Change => ({ kind: "rule.set", lane: "ip", prefix, expiresAt });
const remove = (prefix: string): Change => ({ kind: "rule.remove", lane: "ip", prefix });

/** Two plain maps: what is wanted, and what the one target holds after the differences it was given. */
class Model {
  readonly wanted = new Map<string, number>();
  readonly applied = new Map<string, number>();

  change(change: Change): void {
    if (change.kind === "rule.set") this.wanted.set(`${change.lane} ${change.prefix}`, change.expiresAt);
    if (change.kind === "rule.remove") this.wanted.delete(`${change.lane} ${change.prefix}`);
  }

  /** Applies differences as a target does, and checks that each knows what it changes. */
  apply(differences: readonly Difference[]): void {
    for (const { lane, prefix, applied, wanted } of differences) {
      const key = `${lane} ${prefix}`;
      expect(this.applied.get(key) ?? null, `applied ${key}`).to.equal(applied);
      if (wanted === null) this.applied.delete(key);
      else this.applied.set(key, wanted);
    }
  }

  get digest(): string {
    const digest = new StateDigest();
    for (const [key, expiresAt] of this.wanted) digest.add(ruleLine(...(key.split(" ") as [string, string]), expiresAt));
    return digest.hex;
  }
}

const rules = (desired: DesiredState) =>
  [...desired.rules()].map(({ lane, prefix, expiresAt }) => [`${lane} ${prefix}`, expiresAt] as const);
const sorted = (entries: Iterable<readonly [string, number]>) => [...entries].sort(([a], [b]) => a.localeCompare(b));

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom("rule.set" as const, "rule.remove" as const),
  lane: fc.constantFrom("ip" as const, "ipcert" as const),
  prefix: fc.constantFrom(...PREFIXES),
  expiresAt: fc.constantFrom(0, 1, 2),
});
const step = fc.oneof(
  { arbitrary: change, weight: 4 },
  { arbitrary: fc.constantFrom("begin apply" as const, "applied" as const, "failed, resynced" as const, "snapshot" as const), weight: 2 },
);

describe("desired state", () => {
  it("leads any target to what is wanted, whatever changes while it applies", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const desired = new DesiredState();
        const model = new Model();
        let underWay: readonly Difference[] | null = null;
        for (const one of steps) {
          if (typeof one === "object") {
            desired.change(one);
            model.change(one);
          } else if (one === "begin apply") {
            underWay ??= desired.pending();
          } else if (one === "applied" && underWay !== null) {
            model.apply(underWay);
            desired.acknowledge(underWay);
            underWay = null;
          } else if (one === "failed, resynced") {
            underWay = null;
            model.applied.clear();
            for (const [key, expiresAt] of model.wanted) model.applied.set(key, expiresAt);
            desired.acknowledgeAll();
          } else if (one === "snapshot") {
            const next = new DesiredState();
            model.wanted.delete("ip 203.0.113.1/32");
            model.wanted.set("ipcert 203.0.113.0/24", 2);
            for (const [key, expiresAt] of model.wanted) next.load({ ...split(key), expiresAt });
            expect(desired.adopt(next)).to.equal(true);
          }
          expect(sorted(rules(desired))).to.deep.equal(sorted(model.wanted));
          expect(desired.size).to.equal(model.wanted.size);
          expect(desired.digest).to.equal(model.digest);
        }
        if (underWay !== null) {
          model.apply(underWay);
          desired.acknowledge(underWay);
        }
        const rest = desired.pending();
        model.apply(rest);
        desired.acknowledge(rest);
        expect(sorted(model.applied)).to.deep.equal(sorted(model.wanted));
        expect(desired.pendingSize).to.equal(0);
      }),
      { numRuns: 300 },
    );
  });

  it("keeps one difference for a rule however often it changes, against what is applied", () => {
    const desired = new DesiredState();
    desired.change(set("203.0.113.1/32", 1));
    desired.change(set("203.0.113.1/32", 2));
    expect(desired.pending()).to.deep.equal([{ lane: "ip", prefix: "203.0.113.1/32", applied: null, wanted: 2 }]);
  });

  it("keeps none when it is back where it was", () => {
    const desired = new DesiredState();
    desired.change(set("203.0.113.1/32", 1));
    desired.change(remove("203.0.113.1/32"));
    expect(desired.pending()).to.deep.equal([]);
    expect(desired.digest).to.equal("0".repeat(32));
  });

  it("takes the same change twice as once, and the removal of what is absent as nothing", () => {
    const desired = new DesiredState();
    desired.change(set("203.0.113.1/32", 1));
    const once = desired.digest;
    desired.change(set("203.0.113.1/32", 1));
    desired.change(remove("2001:db8::/64"));
    expect(desired.digest).to.equal(once);
    expect(desired.pendingSize).to.equal(1);
  });

  it("keeps a change made during an apply pending against what that apply put in force", () => {
    const desired = new DesiredState();
    desired.change(set("203.0.113.1/32", 1));
    const underWay = desired.pending();
    desired.change(remove("203.0.113.1/32"));
    desired.acknowledge(underWay);
    expect(desired.pending()).to.deep.equal([{ lane: "ip", prefix: "203.0.113.1/32", applied: 1, wanted: null }]);
  });

  it("counts a rule wider than the host's ceiling in the digest and hands it to no target", () => {
    const narrow = new DesiredState({ widest4: 32, widest6: 128 });
    const wide = new DesiredState();
    for (const prefix of PREFIXES) {
      narrow.change(set(prefix, 1));
      wide.change(set(prefix, 1));
    }
    expect(narrow.digest).to.equal(wide.digest);
    expect(rules(narrow)).to.deep.equal([["ip 203.0.113.1/32", 1]]);
    expect(narrow.pending().map(({ prefix }) => prefix)).to.deep.equal(["203.0.113.1/32"]);
    expect({ size: narrow.size, refused: narrow.refused }).to.deep.equal({ size: 1, refused: 2 });
    for (const prefix of PREFIXES) narrow.change(remove(prefix));
    expect(narrow.digest).to.equal("0".repeat(32));
  });

  it("asks for a resync when a snapshot differs by more than was allowed", () => {
    const desired = new DesiredState();
    for (const prefix of PREFIXES) desired.change(set(prefix, 1));
    desired.acknowledgeAll();
    expect(desired.adopt(new DesiredState(), 2)).to.equal(false);
    expect({ size: desired.size, pending: desired.pendingSize }).to.deep.equal({ size: 0, pending: 0 });
  });

  it("holds trust whole, one entry per target and id", () => {
    const desired = new DesiredState();
    const trust = (id: string, body: string): Change => ({ kind: "trust.set", target: "ca", id, body });
    desired.change(trust("root", "old"));
    desired.change(trust("root", "new"));
    desired.change(trust("device", "other"));
    expect(desired.trust()).to.deep.equal([trust("root", "new"), trust("device", "other")]);
    for (const id of ["root", "device", "absent"]) desired.change({ kind: "trust.remove", target: "ca", id });
    expect(desired.trust()).to.deep.equal([]);
    expect(desired.digest).to.equal("0".repeat(32));
  });
});

function split(key: string): { lane: "ip" | "ipcert"; prefix: string } {
  const [lane, prefix] = key.split(" ");
  return { lane: lane === "ip" ? "ip" : "ipcert", prefix: prefix ?? "" };
}
