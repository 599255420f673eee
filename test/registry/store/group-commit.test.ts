import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { GroupCommit, MAX_BATCH, MAX_QUEUED, type Transactions } from "../../../registry/store/group-commit.ts";

/** A connection that only notes what it is told, and fails where it is asked to. */
class Notes implements Transactions {
  readonly told: string[] = [];
  readonly failing = new Set<string>();
  inTransaction = false;

  exec(sql: string): void {
    this.told.push(sql);
    if (this.failing.has(sql)) throw new Error(`${sql} failed`);
    if (sql === "begin immediate") this.inTransaction = true;
    if (sql === "commit" || sql === "rollback") this.inTransaction = false;
  }
}

describe("group commit", () => {
  let notes: Notes;
  let commits: GroupCommit;
  let woken: string[][];
  beforeEach(() => {
    notes = new Notes();
    woken = [];
    commits = new GroupCommit(notes, (topics) => woken.push([...topics]));
  });
  const settled = async (...work: (() => unknown)[]) =>
    (await Promise.allSettled(work.map((one) => commits.add(one, ["head"])))).map((result) =>
      result.status === "fulfilled" ? result.value : (result.reason.code ?? result.reason.message),
    );
  const fails = () => {
    throw new Error("bad");
  };

  it("puts the writes of one turn into one transaction, each in its savepoint", async () => {
    expect(
      await settled(
        () => 1,
        fails,
        () => 3,
      ),
    ).to.deep.equal([1, "bad", 3]);
    expect(notes.told.join("; ")).to.equal(
      "begin immediate; savepoint one; release one; savepoint one; rollback to one; release one; savepoint one; release one; commit",
    );
    expect(woken).to.deep.equal([["head"]]);
  });

  it("does what is alike at one time, in one savepoint; when that throws, each in its own", async () => {
    const runs: string[] = [];
    const work = (inputs: readonly unknown[]) => {
      runs.push(inputs.join("+"));
      if (inputs.includes("bad")) throw new Error("bad");
      return inputs.map((input) => (input === "no" ? new Problem(422, "no", "No.") : `${String(input)}!`));
    };
    const told = async (...inputs: string[]) =>
      (await Promise.allSettled([...inputs.map((input) => commits.addTo(work, input, ["head"])), commits.add(() => 0, [])])).map(
        (result) => (result.status === "fulfilled" ? result.value : (result.reason.code ?? result.reason.message)),
      );
    expect([await told("a", "no", "b"), runs]).to.deep.equal([["a!", "no", "b!", 0], ["a+no+b"]]);
    expect(notes.told.join("; ")).to.equal("begin immediate; savepoint one; release one; savepoint one; release one; commit");
    runs.length = notes.told.length = 0;
    expect([await told("a", "bad", "b"), runs]).to.deep.equal([
      ["a!", "bad", "b!", 0],
      ["a+bad+b", "a", "bad", "b"],
    ]);
    expect(notes.told.filter((sql) => sql === "rollback to one")).to.have.length(2);
    expect(woken).to.deep.equal([["head"], ["head"]]);
  });

  it("puts what rides along into the same transaction, behind the writes that wake its topic, and wakes what it wakes", async () => {
    const told: string[] = [];
    const rider = {
      work: () => [notes.told.push("ride")],
      input: null,
      wakes: ["outcome"] as const,
      resolve: () => told.push(`done after ${notes.told.at(-1)}`),
      reject: () => {},
    };
    commits = new GroupCommit(
      notes,
      (topics) => woken.push([...topics]),
      (topics) => (topics.has("head") ? [rider] : []),
    );
    expect(await settled(() => 1, fails)).to.deep.equal([1, "bad"]);
    expect(notes.told.slice(-4).join("; ")).to.equal("savepoint one; ride; release one; commit");
    expect([told, woken]).to.deep.equal([["done after commit"], [["head", "outcome"]]]);
    notes.told.length = 0;
    expect(await settled(fails)).to.deep.equal(["bad"]);
    expect(notes.told).not.to.include("ride");
  });

  it("wakes nobody for what a rider has done already", async () => {
    const riderOf = (result: string) => ({
      work: () => [result],
      input: null,
      wakes: ["outcome"] as const,
      quiets: (done: unknown) => (done === "all" ? (["head"] as const) : []),
      resolve: () => {},
      reject: () => {},
    });
    for (const result of ["all", "some"]) {
      commits = new GroupCommit(
        notes,
        (topics) => woken.push([...topics]),
        () => [riderOf(result)],
      );
      await settled(() => 1);
    }
    expect(woken).to.deep.equal([["outcome"], ["head", "outcome"]]);
  });

  for (const sql of ["begin immediate", "savepoint one", "release one", "commit"]) {
    it(`rejects every write of the batch when '${sql}' fails, wakes nobody, and serves the next batch`, async () => {
      notes.failing.add(sql);
      expect(
        await settled(
          () => 1,
          () => 2,
        ),
      ).to.deep.equal(["storage_unavailable", "storage_unavailable"]);
      expect([notes.inTransaction, woken]).to.deep.equal([false, []]);
      notes.failing.clear();
      expect(await settled(() => 3)).to.deep.equal([3]);
    });
  }

  it("rejects every write of the batch when the database ends the transaction by itself", async () => {
    const endsAll = () => {
      notes.inTransaction = false;
      throw new Error("disk full");
    };
    expect(
      await settled(
        () => 1,
        endsAll,
        () => 3,
      ),
    ).to.deep.equal(Array(3).fill("storage_unavailable"));
    expect(notes.told).not.to.include("commit");
  });

  it("takes a bounded number of writes into one transaction, and lets a bounded number wait", async () => {
    const waiting = Array.from({ length: MAX_QUEUED }, () => commits.add(() => 1, []));
    expect(await settled(() => 1)).to.deep.equal(["storage_unavailable"]);
    await Promise.all(waiting);
    expect(notes.told.filter((sql) => sql === "commit")).to.have.length(Math.ceil(MAX_QUEUED / MAX_BATCH));
  });

  it("rests after several writes twice as long as they took, within a bound, and never after one", async () => {
    const { now } = performance;
    const { setTimeout } = globalThis;
    let clockMs = 0;
    const rests: unknown[] = [];
    const lasting = (ms: number) => () => {
      clockMs += ms;
    };
    try {
      performance.now = () => clockMs;
      globalThis.setTimeout = ((turn: () => void, ms: number) => {
        rests.push(ms);
        return setTimeout(turn, 0);
      }) as typeof setTimeout;
      for (const writes of [[lasting(4)], [lasting(1), lasting(2)], [lasting(40), lasting(40)], [lasting(0)], [lasting(0)]])
        await settled(...writes);
    } finally {
      performance.now = now;
      globalThis.setTimeout = setTimeout;
    }
    expect(rests).to.deep.equal([6, 10]);
  });

  it("does what waits when it is closed, and takes nothing more", async () => {
    const one = commits.add(() => 1, []);
    const closed = commits.close();
    expect(await settled(() => 2)).to.deep.equal(["storage_unavailable"]);
    await closed;
    expect(notes.told.at(-1)).to.equal("commit");
    expect(await one).to.equal(1);
    await commits.close();
  });
});
