import { expect } from "chai";
import fc from "fast-check";
import { DesiredState, type Pending } from "../../agent/desired.ts";
import type { Differences } from "../../agent/target.ts";
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
  apply({ rules }: Differences): void {
    for (const { lane, prefix, applied, wanted } of rules) {
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
        let underWay: Pending | null = null;
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
    expect(desired.pending().rules).to.deep.equal([{ lane: "ip", prefix: "203.0.113.1/32", applied: null, wanted: 2 }]);
  });

  it("keeps none when it is back where it was", () => {
    const desired = new DesiredState();
    desired.change(set("203.0.113.1/32", 1));
    desired.change(remove("203.0.113.1/32"));
    expect(desired.pending().rules).to.deep.equal([]);
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
    expect(desired.pending().rules).to.deep.equal([{ lane: "ip", prefix: "203.0.113.1/32", applied: 1, wanted: null }]);
  });

  it("counts a rule wider than the host's ceiling in the digest and hands it to no target", () => {
    const narrow = new DesiredState({ widest4: 32, widest6: 128, rules: 10 });
    const wide = new DesiredState();
    for (const prefix of PREFIXES) {
      narrow.change(set(prefix, 1));
      wide.change(set(prefix, 1));
    }
    expect(narrow.digest).to.equal(wide.digest);
    expect(rules(narrow)).to.deep.equal([["ip 203.0.113.1/32", 1]]);
    expect(narrow.pending().rules.map(({ prefix }) => prefix)).to.deep.equal(["203.0.113.1/32"]);
    expect({ size: narrow.size, refused: narrow.refused }).to.deep.equal({ size: 1, refused: 2 });
    for (const prefix of PREFIXES) narrow.change(remove(prefix));
    expect(narrow.digest).to.equal("0".repeat(32));
  });

  it("hands targets as many rules as the host's ceiling, counts the rest, and fills each place that gets free", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const desired = new DesiredState({ widest4: 0, widest6: 0, rules: 2 });
        const model = new Model();
        const disk = new Map<string, number>();
        for (const one of [...steps, "applied" as const]) {
          if (typeof one === "object") {
            expect(desired.after([one]).rules).to.equal(afterwards(model.wanted, one));
            desired.change(one);
            model.change(one);
          } else if (one === "applied") {
            const pending = desired.pending();
            model.apply(pending);
            save(disk, pending);
            desired.acknowledge(pending);
            expect(model.applied.size).to.equal(Math.min(2, model.wanted.size));
            for (const [key, expiresAt] of model.applied) expect(model.wanted.get(key)).to.equal(expiresAt);
            expect(sorted(disk)).to.deep.equal(sorted(model.wanted));
          }
          expect([desired.digest, desired.size + desired.refused]).to.deep.equal([model.digest, model.wanted.size]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("keeps one difference for a trust entry against what is applied, also across a snapshot", () => {
    const desired = new DesiredState();
    for (const body of ["1", "2"]) desired.change({ kind: "trust.set", target: "certificate", id: "a", body });
    const trust = [{ target: "certificate", id: "a", applied: null, wanted: "2" }];
    expect(desired.pending().trust).to.deep.equal(trust);
    desired.acknowledge(desired.pending());
    const next = new DesiredState();
    next.loadTrust({ kind: "trust.set", target: "binding", id: "device 203.0.113.7/32", body: "{}" });
    expect(desired.adopt(next)).to.equal(true);
    expect(desired.pending().trust).to.have.deep.members([
      { target: "certificate", id: "a", applied: "2", wanted: null },
      { target: "binding", id: "device 203.0.113.7/32", applied: null, wanted: "{}" },
    ]);
    expect([desired.pendingSize, desired.trustSize, desired.counts.trust]).to.deep.equal([
      2,
      1,
      { ca: 0, crl: 0, certificate: 0, binding: 1 },
    ]);
  });

  it("keeps of trust what came and went before anybody was told: a terminator that read it whole may have seen it", () => {
    const desired = new DesiredState();
    const told = () => desired.pending().trust.map(({ id, applied, wanted }) => [id, applied, wanted]);
    const certificate = { target: "certificate", id: "c1" } as const;
    desired.change({ kind: "trust.set", ...certificate, body: "a" });
    desired.change({ kind: "trust.remove", ...certificate });
    expect(told()).to.deep.equal([["c1", null, null]]);
    const next = new DesiredState();
    next.loadTrust({ kind: "trust.set", target: "certificate", id: "c2", body: "b" });
    expect(desired.adopt(next)).to.equal(true);
    expect(told()).to.have.deep.members([
      ["c1", null, null],
      ["c2", null, "b"],
    ]);
    desired.acknowledge(desired.pending());
    expect(told()).to.deep.equal([]);
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
    expect([...desired.trust()]).to.deep.equal([trust("root", "new"), trust("device", "other")]);
    for (const id of ["root", "device", "absent"]) desired.change({ kind: "trust.remove", target: "ca", id });
    expect([...desired.trust()]).to.deep.equal([]);
    expect(desired.digest).to.equal("0".repeat(32));
  });
});

function split(key: string): { lane: "ip" | "ipcert"; prefix: string } {
  const [lane, prefix] = key.split(" ");
  return { lane: lane === "ip" ? "ip" : "ipcert", prefix: prefix ?? "" };
}

/** How many are wanted after one more change. */
function afterwards(wanted: ReadonlyMap<string, number>, change: Change): number {
  const after = new Model();
  for (const [key, expiresAt] of wanted) after.wanted.set(key, expiresAt);
  after.change(change);
  return after.wanted.size;
}

/** What the disk holds once these differences are saved: what goes, goes first. */
function save(disk: Map<string, number>, { rules, heldBack }: Pending): void {
  const all = [...rules, ...heldBack];
  for (const { lane, prefix, wanted } of all) if (wanted === null) disk.delete(`${lane} ${prefix}`);
  for (const { lane, prefix, wanted } of all) if (wanted !== null) disk.set(`${lane} ${prefix}`, wanted);
}
