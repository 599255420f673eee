import { expect } from "chai";
import { DesiredState } from "../../../agent/desired.ts";
import { FeedRefusedError } from "../../../agent/feed/session.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import { rule, setUp, snapshot, welcome } from "./session-setup.ts";

const trusted = (target: "ca" | "crl", n: number) => ({ kind: "trust.set" as const, target, id: `device-${n}`, body: String(n) });
const ca = (n: number) => trusted("ca", n);
const crl = (n: number) => trusted("crl", n);

describe("feed session", () => {
  it("takes a snapshot whole at its end, and changes on top in order", () => {
    const { desired, session, time } = setUp();
    session.handle(welcome());
    expect(snapshot(session, ["203.0.113.7/32"])).to.deep.equal({ kind: "replaced", kept: true });
    expect(
      session.handle({
        type: "changes",
        from: 11,
        changes: [rule("203.0.113.8/32"), { kind: "rule.remove", lane: "ip", prefix: "203.0.113.7/32" }],
        time: 2_000_500,
      }),
    ).to.deep.equal({ kind: "changed" });
    expect([desired.epoch, desired.revision, [...desired.rules()].map((r) => r.prefix)]).to.deep.equal(["e5", 12, ["203.0.113.8/32"]]);
    expect(time.now()).to.equal(2_000_500);
  });

  const refused: [string, RegExp, (parts: ReturnType<typeof setUp>) => void][] = [
    [
      "anything before welcome",
      /came before welcome/,
      ({ session }) => session.handle({ type: "heartbeat", revision: 0, digest: "0".repeat(32), time: 1 }),
    ],
    ["a second welcome", /second welcome/, ({ session }) => session.handle(welcome("e6"))],
    [
      "a snapshot of an earlier epoch",
      /Cannot go back from epoch e5 to e4/,
      ({ open }) => {
        const next = open();
        next.handle(welcome("e4"));
        snapshot(next, [], 70, "e4");
      },
    ],
    [
      "changes of another epoch than the one that is held",
      /a state that they do not belong to/,
      ({ open }) => {
        const next = open();
        next.handle(welcome("e6"));
        next.handle({ type: "changes", from: 11, changes: [rule("203.0.113.9/32")], time: 1 });
      },
    ],
    [
      "changes of a registry that it is ahead of",
      /a state that they do not belong to/,
      ({ session }) => {
        session.handle({ type: "ahead", epoch: "e5", revision: 7 });
        session.handle({ type: "changes", from: 11, changes: [rule("203.0.113.9/32")], time: 1 });
      },
    ],
    [
      "a snapshot of a registry that it is ahead of",
      /not to be expected/,
      ({ session }) => {
        session.handle({ type: "ahead", epoch: "e5", revision: 7 });
        snapshot(session, [], 20);
      },
    ],
    ["a snapshot of another epoch than welcome said", /not to be expected/, ({ session }) => snapshot(session, [], 20, "e6")],
    ["a snapshot of an earlier revision", /Cannot go back from revision 10 to 9/, ({ session }) => snapshot(session, [], 9)],
    [
      "a gap in revisions",
      /Changes begin at 13, held is 10/,
      ({ session }) => session.handle({ type: "changes", from: 13, changes: [rule("203.0.113.9/32")], time: 1 }),
    ],
    [
      "a repeated revision",
      /Changes begin at 10, held is 10/,
      ({ session }) => session.handle({ type: "changes", from: 10, changes: [rule("203.0.113.9/32")], time: 1 }),
    ],
    [
      "a snapshot of more trust than any host takes",
      /4000101 trust entries/,
      ({ session }) => session.handle({ type: "snapshot.begin", epoch: "e5", revision: 11, rules: 0, trust: 4_000_101 }),
    ],
    [
      "a snapshot with a 51st CRL",
      /holds 51 trust entries of kind 'crl'/,
      ({ session }) => {
        session.handle({ type: "snapshot.begin", epoch: "e5", revision: 11, rules: 0, trust: 3_000 });
        for (let n = 0; n < 3_000; n++) session.handle({ type: "snapshot.chunk", rules: [], trust: [crl(n)] });
      },
    ],
    [
      "changes to a 51st CA",
      /lead to 51 trust entries of kind 'ca'/,
      ({ session }) => session.handle({ type: "changes", from: 11, changes: Array.from({ length: 51 }, (_, n) => ca(n)), time: 1 }),
    ],
    [
      "a snapshot with less trust than announced",
      /does not add up/,
      ({ session }) => {
        session.handle({ type: "snapshot.begin", epoch: "e5", revision: 11, rules: 0, trust: 1 });
        session.handle({ type: "snapshot.end", revision: 11, digest: "0".repeat(32), time: 1 });
      },
    ],
    [
      "a snapshot that does not add up",
      /does not add up/,
      ({ session }) => {
        session.handle({ type: "snapshot.begin", epoch: "e5", revision: 11, rules: 1, trust: 0 });
        session.handle({ type: "snapshot.chunk", rules: [["ip", "203.0.113.9/32", 9_000]], trust: [] });
        session.handle({ type: "snapshot.end", revision: 11, digest: "0".repeat(32), time: 1 });
      },
    ],
    [
      "a snapshot longer than announced",
      /longer than it announced/,
      ({ session }) => {
        session.handle({ type: "snapshot.begin", epoch: "e5", revision: 11, rules: 1, trust: 0 });
        session.handle({
          type: "snapshot.chunk",
          rules: [
            ["ip", "203.0.113.9/32", 9_000],
            ["ip", "203.0.113.10/32", 9_000],
          ],
          trust: [],
        });
      },
    ],
    [
      "text that is no canonical prefix",
      /A rule does not fit/,
      ({ session }) => session.handle({ type: "changes", from: 11, changes: [rule("203.0.113.9/32"), rule("203.0.113.9/24")], time: 1 }),
    ],
    [
      "a digest that differs at the same revision",
      /Digest of revision 10/,
      ({ session }) => session.handle({ type: "heartbeat", revision: 10, digest: "f".repeat(32), time: 1 }),
    ],
    [
      "changes in the middle of a snapshot",
      /inside a snapshot/,
      ({ session }) => {
        session.handle({ type: "snapshot.begin", epoch: "e5", revision: 11, rules: 1, trust: 0 });
        session.handle({ type: "changes", from: 11, changes: [rule("203.0.113.9/32")], time: 1 });
      },
    ],
  ];
  for (const [what, message, act] of refused) {
    it(`refuses ${what}, and what is held stays`, () => {
      const parts = setUp();
      if (what !== "anything before welcome") {
        parts.session.handle(welcome());
        snapshot(parts.session, ["203.0.113.7/32"]);
      }
      const before = [parts.desired.revision, parts.desired.digest];
      expect(() => act(parts)).to.throw(FeedRefusedError, message);
      expect([parts.desired.revision, parts.desired.digest]).to.deep.equal(before);
    });
  }

  it("keeps a rule that is too wide for this host out of the targets' sight, yet in the digest", () => {
    const { desired, session } = setUp();
    session.handle(welcome());
    snapshot(session, ["203.0.113.7/32"]);
    session.handle({ type: "changes", from: 11, changes: [rule("0.0.0.0/0"), rule("2001:db8::/32")], time: 1 });
    expect([desired.size, desired.refused, desired.revision]).to.deep.equal([1, 2, 12]);
    expect(desired.pending().rules.map((difference) => difference.prefix)).to.deep.equal(["203.0.113.7/32"]);
    const sum = new DesiredState();
    for (const prefix of ["203.0.113.7/32", "0.0.0.0/0", "2001:db8::/32"]) sum.load({ lane: "ip", prefix, expiresAt: 9_000 });
    expect(desired.digest).to.equal(sum.digest);
  });

  it("takes another CA once one has gone, in the same message too", () => {
    const { desired, session } = setUp();
    session.handle(welcome());
    snapshot(session, []);
    const remove = (n: number) => ({ kind: "trust.remove" as const, target: "ca" as const, id: `device-${n}` });
    const changes = (from: number, ...all: Change[]) => session.handle({ type: "changes", from, changes: all, time: 1 });
    changes(11, ...Array.from({ length: 50 }, (_, n) => ca(n)), remove(0), ca(50));
    changes(63, ca(50), crl(50));
    expect(() => changes(65, ca(51), remove(1), ca(52))).to.throw(FeedRefusedError, /51 trust entries/);
    expect(desired.counts.trust).to.deep.equal({ ca: 50, crl: 1, certificate: 0, binding: 0 });
  });

  it("follows removals at this host's ceiling of rules and beyond, and admits who waited in the place of who left", () => {
    const { desired, session } = setUp();
    session.handle(welcome());
    const five = [1, 2, 3, 4, 5].map((last) => `203.0.113.${last}/32`);
    snapshot(session, five);
    desired.acknowledgeAll();
    session.handle({ type: "changes", from: 11, changes: [rule("203.0.113.6/32"), rule("203.0.113.7/32")], time: 1 });
    expect([desired.size, desired.tooMany, desired.pendingSize]).to.deep.equal([5, 2, 0]);
    session.handle({ type: "changes", from: 13, changes: [{ kind: "rule.remove", lane: "ip", prefix: "203.0.113.1/32" }], time: 1 });
    expect(desired.pending().rules).to.deep.equal([
      { lane: "ip", prefix: "203.0.113.1/32", applied: 9_000, wanted: null },
      { lane: "ip", prefix: "203.0.113.6/32", applied: null, wanted: 9_000 },
    ]);
    expect([desired.size, desired.tooMany, desired.revision]).to.deep.equal([5, 1, 13]);
  });

  it("takes a snapshot over the ceiling: what is too many reaches no kernel, what left does leave", () => {
    const { desired, session } = setUp();
    session.handle(welcome());
    snapshot(session, ["203.0.113.7/32"]);
    desired.acknowledgeAll();
    snapshot(
      session,
      [1, 2, 3, 4, 5, 6].map((last) => `203.0.113.${last}/32`),
      11,
    );
    expect([desired.size, desired.tooMany]).to.deep.equal([5, 1]);
    expect(
      desired
        .pending()
        .rules.filter(({ wanted }) => wanted === null)
        .map(({ prefix }) => prefix),
    ).to.deep.equal(["203.0.113.7/32"]);
  });
});
