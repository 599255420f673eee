import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { type Accepting, accepting } from "../../../registry/http/accepting.ts";
import { Attempts } from "../../../registry/http/attempts.ts";
import type { Accepted } from "../../../registry/store/accept.ts";
import { all, type Together } from "../../../registry/store/store.ts";
import { Harness } from "../process/harness.ts";

const NOW = 1_800_000_000_000;
const LIMITS = {
  registrationsPerMinute: 1_000,
  registrationsPerHour: 3,
  wrongProofsPerHour: 6,
  wrongProofsPerSigner: 2,
  devicesPerAddress: 50,
};

describe("the limit on right proofs that come together", () => {
  let harness: Harness;
  let attempts: Attempts;
  let accept: Together<Accepting, Accepted>;
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = NOW;
    attempts = new Attempts(LIMITS, { store: harness.store, clock: harness.clock, log: silentLog });
    accept = accepting(attempts);
  });
  afterEach(async () => {
    attempts[Symbol.dispose]();
    await harness[Symbol.asyncDispose]();
  });

  const proven = (id: string, source: string, change: Partial<Accepting> = {}): Accepting => ({
    id,
    receivedAt: NOW,
    action: "register",
    signer: "code:ABCDEFGH",
    submission: { addresses: ["observed"], deviceKey: null, nonce: "AAAAAAAAAAAAAAAAAAAAAA", time: NOW },
    signature: "",
    csr: null,
    observed: ["8.8.4.4"],
    digest: id,
    sealed: null,
    shown: null,
    idempotencyKey: null,
    source,
    tickets: [],
    ...change,
  });
  /** Of writes that are asked for in one turn of the event loop, which are one batch. */
  const together = (inputs: readonly Accepting[]) =>
    Promise.all(
      inputs.map((input) =>
        harness.store.writeTogether(accept, input).then(
          ({ id, repeated }) => `${repeated ? "repeated" : "stored"} ${id}`,
          (error) => `refused ${error.code}`,
        ),
      ),
    );
  const stored = async () =>
    (await harness.rows((db) => all(db.selectFrom("submissions").select("id").orderBy("id")))).map((row) => row.id);
  const counted = () => harness.rows((db) => all(db.selectFrom("attempts").select(["source", "count"]).orderBy("source")));

  it("stores as many of one source as its share, and refuses the others", async () => {
    expect(await together(["a", "b", "c", "d", "e"].map((id) => proven(id, "8.8.4.4/32")))).to.deep.equal([
      "stored a",
      "stored b",
      "stored c",
      "refused registrations_limited",
      "refused registrations_limited",
    ]);
    expect(await stored()).to.deep.equal(["a", "b", "c"]);
    expect(await counted()).to.deep.equal([{ source: "8.8.4.4/32", count: 3 }]);
    expect(await together([proven("f", "8.8.4.4/32")])).to.deep.equal(["refused registrations_limited"]);
    expect(await counted()).to.deep.equal([{ source: "8.8.4.4/32", count: 3 }]);
  });

  it("counts each source apart, one that was counted before from there on, and neither repeats nor who leaves", async () => {
    await together([proven("a", "8.8.4.4/32"), proven("b", "8.8.4.4/32", { idempotencyKey: "key" })]);
    const mixed = [
      proven("c", "8.8.4.4/32"),
      proven("d", "9.9.9.9/32"),
      proven("again", "8.8.4.4/32", { idempotencyKey: "key", digest: "b" }),
      proven("e", "8.8.4.4/32"),
      proven("f", "8.8.4.4/32", { action: "leave", signer: "device:01a20ada-8228-7003-bcb7-c58f43e10ba0" }),
      proven("g", "9.9.9.9/32"),
    ];
    expect(await together(mixed)).to.deep.equal([
      "stored c",
      "stored d",
      "repeated b",
      "refused registrations_limited",
      "stored f",
      "stored g",
    ]);
    expect(await stored()).to.deep.equal(["a", "b", "c", "d", "f", "g"]);
    expect(await counted()).to.deep.equal([
      { source: "8.8.4.4/32", count: 3 },
      { source: "9.9.9.9/32", count: 2 },
    ]);
  });
});
