import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { Belief } from "../../agent/belief.ts";
import { DesiredState } from "../../agent/desired.ts";
import { StateFile } from "../../agent/state.ts";
import { silentLog } from "../../lib/log.ts";

const CEILING = { widest4: 24, widest6: 48, rules: 3 };

function filled(belief: Belief | null = null): DesiredState {
  const desired = new DesiredState(CEILING, belief);
  desired.epoch = "e1";
  desired.revision = 7;
  desired.change({ kind: "rule.set", lane: "ip", prefix: "203.0.113.7/32", expiresAt: 9_000 });
  desired.change({ kind: "rule.set", lane: "ipcert", prefix: "2001:db8::/64", expiresAt: 8_000 });
  desired.change({ kind: "trust.set", target: "ca", id: "device", body: "PEM" });
  return desired;
}

const position = (desired: DesiredState) => ({ epoch: "e1", revision: desired.revision, digest: desired.digest, seenMs: 1234 });

describe("saved state", () => {
  let folder: string;
  let file: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "eos-state-"));
    file = join(folder, "state.db");
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it("is for its owner alone, in a folder that others may enter too", () => {
    writeFileSync(file, "", { mode: 0o644 });
    using state = StateFile.open(file, "host1", silentLog);
    state.replace(position(filled()), filled());
    const modes = ["", "-wal"].map((suffix) => (statSync(file + suffix).mode & 0o777).toString(8));
    expect(modes).to.deep.equal(["600", "600"]);
  });

  const saveFilled = () => {
    using state = StateFile.open(file, "host1", silentLog);
    const desired = filled();
    state.replace(position(desired), desired);
  };
  const loaded = (agent = "host1", belief: Belief | null = null) => {
    using state = StateFile.open(file, agent, silentLog);
    return { desired: state.load(CEILING, belief, silentLog), seenMs: state.seenMs };
  };

  it("comes back as it was saved, with the time seen", () => {
    saveFilled();
    const { desired, seenMs } = loaded();
    expect([...desired.rules()]).to.have.deep.members([
      { lane: "ip", prefix: "203.0.113.7/32", expiresAt: 9_000 },
      { lane: "ipcert", prefix: "2001:db8::/64", expiresAt: 8_000 },
    ]);
    expect([...desired.trust()]).to.deep.equal([{ kind: "trust.set", target: "ca", id: "device", body: "PEM" }]);
    expect([desired.epoch, desired.revision, desired.digest, seenMs]).to.deep.equal(["e1", 7, filled().digest, 1234]);
    expect(desired.pendingSize).to.equal(0);
  });

  it("takes differences on top, and keeps rules that are too wide for this host apart", () => {
    saveFilled();
    {
      using state = StateFile.open(file, "host1", silentLog);
      const desired = state.load(CEILING, null, silentLog);
      desired.change({ kind: "rule.remove", lane: "ip", prefix: "203.0.113.7/32" });
      desired.change({ kind: "rule.set", lane: "ip", prefix: "203.0.0.0/16", expiresAt: 9_000 });
      desired.revision = 9;
      state.save(position(desired), desired.pending());
    }
    const { desired } = loaded();
    expect([...desired.rules()].map((rule) => rule.prefix)).to.deep.equal(["2001:db8::/64"]);
    expect([desired.revision, desired.refused]).to.deep.equal([9, 1]);
  });

  it("takes trust on top entry by entry, and what is held back together with what took its place", () => {
    const many = filled();
    for (const prefix of ["203.0.113.8/32", "203.0.113.9/32"]) many.change({ kind: "rule.set", lane: "ip", prefix, expiresAt: 9_000 });
    expect([many.size, many.tooMany]).to.deep.equal([3, 1]);
    {
      using state = StateFile.open(file, "host1", silentLog);
      state.replace(position(many), many);
      many.acknowledgeAll();
      many.change({ kind: "rule.remove", lane: "ip", prefix: "203.0.113.7/32" });
      many.change({ kind: "trust.set", target: "certificate", id: "a1", body: "{}" });
      many.change({ kind: "trust.remove", target: "ca", id: "device" });
      state.save(position(many), many.pending());
    }
    const { desired } = loaded();
    expect([...desired.rules()].map((rule) => rule.prefix)).to.have.members(["2001:db8::/64", "203.0.113.8/32", "203.0.113.9/32"]);
    expect([...desired.trust()]).to.deep.equal([{ kind: "trust.set", target: "certificate", id: "a1", body: "{}" }]);
    expect(desired.refused).to.equal(0);
  });

  it("replaces the whole in slices: left before the commit, what was saved before stands, the time seen too", () => {
    const before = filled();
    {
      using state = StateFile.open(file, "host1", silentLog);
      state.replace(position(before), before);
      const many = new DesiredState();
      many.epoch = before.epoch;
      many.revision = before.revision + 2_500;
      for (let i = 0; i < 2_500; i++) many.load({ lane: "ip", prefix: `203.0.${i >> 8}.${i & 255}/32`, expiresAt: 9_000 });
      {
        using left = state.begin(position(many), many);
        expect([left.step(), left.step()]).to.deep.equal([true, true]);
        state.saveTime(before.revision + 1_000_000);
      }
      expect(state.load({ widest4: 0, widest6: 0, rules: 10 }, null, silentLog).digest).to.equal(before.digest);
      expect(state.seenMs).to.equal(position(before).seenMs);
      using whole = state.begin(position(many), many);
      while (whole.step());
      whole.commit();
      expect(state.load({ widest4: 0, widest6: 0, rules: 5_000 }, null, silentLog).size).to.equal(2_500);
    }
  });

  it("says that it holds what it gave, unless it was refused, or another trust is believed now than when it was saved", () => {
    const intact = () => {
      using state = StateFile.open(file, "host1", silentLog);
      return { revision: state.load(CEILING, null, silentLog).revision, intact: state.intact };
    };
    expect(intact()).to.deep.equal({ revision: 0, intact: false });
    saveFilled();
    expect(intact()).to.deep.equal({ revision: 7, intact: true });
    const edit = (sql: string) => {
      using db = new DatabaseSync(file);
      db.exec(sql);
    };
    edit("update trust set held = 1");
    expect(intact()).to.deep.equal({ revision: 7, intact: false });
    // Of one that is held back and one that is believed, the digest knows the first alone.
    edit("insert into trust values (0, 'ca', 'device', 'PEM')");
    expect(intact()).to.deep.equal({ revision: 7, intact: false });
    edit("delete from trust where held = 1");
    expect(intact()).to.deep.equal({ revision: 7, intact: true });
    edit("update rules set expires_at = expires_at + 1");
    expect(intact()).to.deep.equal({ revision: 0, intact: false });
  });

  it("brings back what was held back and what is remembered of trust", () => {
    const now = 1_000;
    const body = JSON.stringify({
      device: "01a20ada-8228-7003-bcb7-c58f43e10ba0",
      pattern: "cert",
      subject: "Jo",
      serial: "0a",
      issuer: "device-1a2b3c4d",
      notAfter: 9_000,
    });
    const certificate = { kind: "trust.set", target: "certificate", id: "a".repeat(64), body } as const;
    const crl = (number: number) => {
      const facts = { number, thisUpdate: 1, nextUpdate: 2, sha256: "0".repeat(64), bytes: 1, der: null };
      return { kind: "trust.set", target: "crl", id: "device-1a2b3c4d", body: JSON.stringify(facts) } as const;
    };
    const before = filled(new Belief("", () => now));
    {
      using state = StateFile.open(file, "host1", silentLog);
      state.replace(position(before), before);
      before.acknowledgeAll();
      for (const change of [certificate, crl(7), { ...certificate, kind: "trust.remove" }, certificate, crl(6)] as const)
        before.change(change);
      state.save(position(before), before.pending());
    }
    const belief = new Belief("", () => now);
    const { desired } = loaded("host1", belief);
    expect(desired.digest).to.equal(before.digest);
    expect([...desired.trust()]).to.deep.equal([crl(7)]);
    expect([...desired.heldTrust()]).to.have.deep.members([...before.heldTrust()]);
    expect([[...belief.tombstones.entries()], [...belief.numbers.entries()]]).to.deep.equal([
      [["a".repeat(64), 9_000]],
      [["device-1a2b3c4d", 7]],
    ]);
    {
      using state = StateFile.open(file, "host1", silentLog);
      state.replace(position(desired), desired);
    }
    expect(loaded("host1", new Belief("", () => now)).desired.digest).to.equal(before.digest);
    using db = new DatabaseSync(file);
    db.exec("update numbers set value = 6");
    expect(loaded("host1", new Belief("", () => now)).desired.epoch).to.equal(null);
  });

  for (const [what, change] of [
    ["another revision", "revision = 8"],
    ["another epoch", "epoch = 'e9'"],
    ["a later time", "seen_ms = 9999999999999"],
  ] as const) {
    it(`is set aside when somebody wrote ${what} into it`, () => {
      saveFilled();
      {
        using db = new DatabaseSync(file);
        db.exec(`update position set ${change}`);
      }
      const { desired, seenMs } = loaded();
      expect([desired.epoch, seenMs]).to.deep.equal([null, 0]);
      expect(existsSync(`${file}.refused`)).to.equal(true);
    });
  }

  it("is not believed when its trust is about something that nobody knows", () => {
    saveFilled();
    using db = new DatabaseSync(file);
    db.exec("insert into trust values (0, 'rule', 'x', '1.1.1.1 }; flush ruleset #/32')");
    expect(loaded().desired.epoch).to.equal(null);
  });

  it("is not believed when it holds more CRLs than any host takes", () => {
    using state = StateFile.open(file, "host1", silentLog);
    const desired = filled();
    for (let n = 0; n < 51; n++) desired.change({ kind: "trust.set", target: "crl", id: `device-${n}`, body: "{}" });
    state.replace(position(desired), desired);
    expect([loaded().desired.epoch, loaded().desired.trustSize]).to.deep.equal([null, 0]);
    desired.change({ kind: "trust.remove", target: "crl", id: "device-50" });
    state.replace(position(desired), desired);
    expect([loaded().desired.epoch, loaded().desired.trustSize]).to.deep.equal(["e1", 51]);
  });

  it("is not believed when a row was changed by hand: the digest tells", () => {
    saveFilled();
    using db = new DatabaseSync(file);
    db.exec("update rules set prefix = '203.0.113.8/32' where lane = 'ip'");
    expect(loaded().desired.epoch).to.equal(null);
    expect(loaded().desired.size).to.equal(0);
  });

  it("is not believed when it holds text that is no canonical prefix", () => {
    saveFilled();
    using db = new DatabaseSync(file);
    db.exec("update rules set prefix = '0.0.0.0/0 } ; flush ruleset' where lane = 'ip'");
    expect(loaded().desired.size).to.equal(0);
  });

  for (const [what, damage] of [
    ["torn", () => writeFileSync(file, Buffer.concat([readFileSync(file).subarray(0, 2_000), Buffer.alloc(3_000, 7)]))],
    ["truncated", () => truncateSync(file, Math.floor(statSync(file).size / 2))],
    ["not a database", () => writeFileSync(file, "rules: everyone\n".repeat(500))],
  ] as const) {
    it(`is set aside and begun anew when the file is ${what}`, () => {
      saveFilled();
      damage();
      expect(loaded().desired.epoch).to.equal(null);
      expect(existsSync(`${file}.refused`)).to.equal(true);
      saveFilled();
      expect(loaded().desired.revision).to.equal(7);
    });
  }

  it("refuses another agent's file and another program's", () => {
    saveFilled();
    expect(loaded("host2").desired.epoch).to.equal(null);
    rmSync(file);
    {
      using db = new DatabaseSync(file);
      db.exec("create table mine (x)");
    }
    expect(loaded().desired.epoch).to.equal(null);
    using db = new DatabaseSync(`${file}.refused`);
    expect(db.prepare("select name from sqlite_schema").get()?.name).to.equal("mine");
  });

  it("does not set a good file aside because it is locked", () => {
    saveFilled();
    using db = new DatabaseSync(file);
    db.exec("pragma locking_mode = exclusive; begin exclusive");
    expect(() => loaded()).to.throw(/locked/);
    db.exec("rollback");
    db.close();
    expect(loaded().desired.revision).to.equal(7);
  });

  it("keeps the latest time seen and never an earlier one", () => {
    saveFilled();
    using state = StateFile.open(file, "host1", silentLog);
    state.saveTime(5_000);
    state.saveTime(4_000);
    expect(state.seenMs).to.equal(5_000);
  });
});
