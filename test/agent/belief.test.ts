import { hash } from "node:crypto";
import { expect } from "chai";
import { Belief } from "../../agent/belief.ts";
import { DesiredState } from "../../agent/desired.ts";
import type { Change } from "../../lib/feed/messages.ts";
import { Cas } from "./cas.ts";

const HOUR_MS = 3_600_000;
const CEILING = { widest4: 0, widest6: 0, rules: 10 };
const FINGERPRINT = "a".repeat(64);
const DEVICE = "01a20ada-8228-7003-bcb7-c58f43e10ba0";

const set = (target: "ca" | "crl" | "certificate" | "binding", id: string, body: string): Change => ({
  kind: "trust.set",
  target,
  id,
  body,
});
const certificate = (notAfter: number, more: object = {}): string =>
  JSON.stringify({ device: DEVICE, pattern: "cert", subject: "Jo", serial: "0a", issuer: "device-1a2b3c4d", notAfter, ...more });
function crl(number: number, text = `list ${number}`): string {
  const der = Buffer.from(text);
  const facts = { number, thisUpdate: 1, nextUpdate: 2, sha256: hash("sha256", der), bytes: der.length };
  return JSON.stringify({ ...facts, der: der.toString("base64") });
}

describe("what an agent believes of trust", () => {
  let cas: Cas;
  let now: number;
  before(() => {
    cas = new Cas();
    cas.root("pinned");
    cas.root("stranger");
  });
  after(() => cas[Symbol.dispose]());
  beforeEach(() => {
    // After every certificate of the test was made: their times are whole seconds.
    now = Date.now() + 60_000;
  });

  const begin = () => {
    const desired = new DesiredState(CEILING, new Belief(cas.pem("pinned"), () => now));
    const names = () => [...desired.trust()].map(({ target, id }) => `${target} ${id}`);
    const take = (...changes: Change[]) => {
      for (const change of changes) desired.change(change);
    };
    return { desired, names, take };
  };

  it("takes CAs that chain to the pinned root, the next root by its cross-signature too, whatever order they come in", () => {
    const { desired, names, take } = begin();
    cas.root("next");
    take(set("ca", "device-00000001", cas.signed("device", "next")), set("ca", "root-00000002", cas.pem("next")));
    expect([names(), desired.trustRefused]).to.deep.equal([[], 2]);
    take(set("ca", "cross-00000003", cas.signed("next", "pinned")), set("ca", "root-00000004", cas.pem("pinned")));
    expect(names()).to.have.members(["ca device-00000001", "ca root-00000002", "ca cross-00000003", "ca root-00000004"]);
    take({ kind: "trust.remove", target: "ca", id: "cross-00000003" });
    expect(names()).to.deep.equal(["ca root-00000004"]);
  });

  for (const [what, body] of [
    ["of a root that nobody pinned", () => cas.pem("stranger")],
    ["signed by a root that nobody pinned", () => cas.signed("other", "stranger")],
    ["that is no CA", () => cas.signed("leaf", "pinned", { ca: false })],
    ["with another one behind it", () => cas.signed("device", "pinned") + cas.pem("stranger")],
    ["that is no certificate", () => "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
  ] as const) {
    it(`takes no CA ${what}: it counts in the digest and reaches no target`, () => {
      const { desired, take } = begin();
      const all = new DesiredState();
      const change = set("ca", "device-00000001", body());
      take(change);
      all.change(change);
      expect([[...desired.trust()], desired.trustRefused, desired.digest]).to.deep.equal([[], 1, all.digest]);
      expect(desired.pending().trust).to.deep.equal([]);
    });
  }

  it("takes no CA outside its validity", () => {
    const { names, take } = begin();
    now += 31 * 24 * HOUR_MS;
    take(set("ca", "device-00000001", cas.signed("device", "pinned")));
    expect(names()).to.deep.equal([]);
  });

  it("never takes a removed certificate back before it has expired, by change or by snapshot", () => {
    const { desired, names, take } = begin();
    const body = certificate(now + HOUR_MS);
    take(set("certificate", FINGERPRINT, body));
    expect(names()).to.deep.equal([`certificate ${FINGERPRINT}`]);
    take({ kind: "trust.remove", target: "certificate", id: FINGERPRINT }, set("certificate", FINGERPRINT, body));
    expect([names(), desired.trustRefused]).to.deep.equal([[], 1]);
    const replay = new DesiredState(CEILING, desired.belief);
    replay.loadTrust({ kind: "trust.set", target: "certificate", id: FINGERPRINT, body: certificate(now + 9 * HOUR_MS) });
    desired.adopt(replay);
    expect(names()).to.deep.equal([]);
    now += HOUR_MS;
    desired.belief?.sweep();
    expect(desired.belief?.tombstones.size).to.equal(0);
  });

  it("remembers as removed what a snapshot no longer names", () => {
    const { desired, names, take } = begin();
    take(set("certificate", FINGERPRINT, certificate(now + HOUR_MS)));
    desired.adopt(new DesiredState(CEILING, desired.belief));
    take(set("certificate", FINGERPRINT, certificate(now + HOUR_MS)));
    expect(names()).to.deep.equal([]);
  });

  it("keeps the later CRL when an earlier one comes, by change or by snapshot, and never forgets its number", () => {
    const { desired, take } = begin();
    const bodies = () => [...desired.trust()].map(({ body }) => body);
    take(set("crl", "device-1a2b3c4d", crl(7)), set("crl", "device-1a2b3c4d", crl(6)));
    expect(bodies()).to.deep.equal([crl(7)]);
    const past = new DesiredState(CEILING, desired.belief);
    past.loadTrust({ kind: "trust.set", target: "crl", id: "device-1a2b3c4d", body: crl(5) });
    desired.adopt(past);
    expect([bodies(), desired.trustRefused]).to.deep.equal([[crl(7)], 1]);
    take({ kind: "trust.remove", target: "crl", id: "device-1a2b3c4d" }, set("crl", "device-1a2b3c4d", crl(6)));
    expect(bodies()).to.deep.equal([]);
    take(set("crl", "device-1a2b3c4d", crl(8)));
    expect([bodies(), desired.trustRefused]).to.deep.equal([[crl(8)], 0]);
  });

  it("takes no list of one CA more than it can remember numbers of, and goes on following those it knows", () => {
    const { desired, names, take } = begin();
    const id = (n: number) => `device-${n.toString(16).padStart(8, "0")}`;
    for (let n = 0; n < 1_000; n++) take(set("crl", id(n), crl(7)), { kind: "trust.remove", target: "crl", id: id(n) });
    take(set("crl", id(1_000), crl(7)), set("crl", id(0), crl(6)), set("crl", id(1), crl(8)));
    expect([names(), desired.trustRefused, desired.belief?.numbers.size]).to.deep.equal([["crl device-00000001"], 2, 1_000]);
  });

  it("lets a CRL's number go back by a snapshot that a local operator accepted, and by nothing after it", () => {
    const { desired, take } = begin();
    take(set("crl", "device-1a2b3c4d", crl(7)));
    const accepted = new DesiredState(CEILING, desired.belief, true);
    accepted.loadTrust({ kind: "trust.set", target: "crl", id: "device-1a2b3c4d", body: crl(5) });
    desired.adopt(accepted);
    take(set("crl", "device-1a2b3c4d", crl(4)));
    expect([...desired.trust()].map(({ body }) => body)).to.deep.equal([crl(5)]);
  });

  for (const [what, change] of [
    ["a CRL that is not the list it is said to be", set("crl", "device-1a2b3c4d", crl(1).replace(/"der":"/, '"der":"AAAA'))],
    ["a certificate whose device is no device", set("certificate", FINGERPRINT, certificate(9e15, { device: "x\nevil 1" }))],
    ["a fingerprint that is none", set("certificate", `${FINGERPRINT.slice(1)}\n`, certificate(9e15))],
    ["a binding to a prefix with host bits", set("binding", `${DEVICE} 203.0.113.7/24`, '{"expiresAt":1}')],
    ["a CA's name that leads out of its folder", set("ca", "../../etc/passwd", "")],
  ] as const) {
    it(`takes no ${what.replace(/^a /, "")}`, () => {
      const { desired, names, take } = begin();
      take(change);
      expect([names(), desired.trustRefused, desired.trustSize]).to.deep.equal([[], 1, 1]);
    });
  }
});
