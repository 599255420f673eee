import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { acceptSubmissions, MAX_INBOX, type NewSubmission, wakesOf } from "../../../registry/store/accept.ts";
import { readInbox } from "../../../registry/store/intake.ts";
import { Harness, NO_RULES } from "../process/harness.ts";

describe("the inbox while Process is down", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.open();
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const submission = (id: string): NewSubmission => ({
    id,
    receivedAt: 1,
    action: "register",
    signer: "code:ABCDEFGH",
    submission: { addresses: ["observed"], deviceKey: null, nonce: "AAAAAAAAAAAAAAAAAAAAAA", time: 1 },
    signature: "",
    csr: null,
    observed: ["8.8.4.4"],
    digest: id,
    sealed: null,
    shown: null,
    idempotencyKey: `key-${id}`,
  });
  /** Some that come together, where three may wait. */
  const accept = async (...all: NewSubmission[]) => {
    const results = await harness.store.write((db) => acceptSubmissions(db, all, { ...NO_RULES, most: 3 }));
    return results.map((result) =>
      result instanceof Problem ? `${result.status} ${result.code}` : `${result.repeated ? "repeated" : "stored"} ${result.id}`,
    );
  };
  const waiting = () => harness.store.read((db) => readInbox(db, { certified: false, limit: 10 }));

  it("wakes who concludes certificates for those alone that ask for one", () => {
    expect([wakesOf({ csr: null }), wakesOf({ csr: Buffer.of(0x30) })]).to.deep.equal([["inbox"], ["requests"]]);
  });

  it("takes what it has room for, refuses the rest, and knows again what it took", async () => {
    const told = [];
    for (const id of ["a", "b", "c", "d", "b"]) told.push(...(await accept(submission(id))));
    expect(told).to.deep.equal(["stored a", "stored b", "stored c", "503 inbox_full", "repeated b"]);
    expect((await waiting()).map(({ id }) => id)).to.deep.equal(["a", "b", "c"]);
    expect(MAX_INBOX).to.equal(50_000);
  });

  it("takes those that come together as if one came after the other", async () => {
    const again = { ...submission("x"), idempotencyKey: "key-a", digest: "a" };
    const other = { ...submission("y"), idempotencyKey: "key-a", digest: "other" };
    const all = ["a", "b", "c", "d", "e"].map(submission);
    expect(await accept(submission("z"))).to.deep.equal(["stored z"]);
    expect(await accept(...all, again, other)).to.deep.equal([
      "stored a",
      "stored b",
      "503 inbox_full",
      "503 inbox_full",
      "503 inbox_full",
      "repeated a",
      "422 idempotency_key_reused",
    ]);
    expect((await waiting()).map(({ id }) => id)).to.deep.equal(["a", "b", "z"]);
  });
});
