import { expect } from "chai";
import { Problem } from "../../../lib/problem.ts";
import { acceptSubmission, MAX_INBOX, type NewSubmission, readInbox } from "../../../registry/store/intake.ts";
import { Harness } from "../process/harness.ts";

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
  const accept = (id: string) =>
    harness.store
      .write((db) => acceptSubmission(db, submission(id), () => {}, 3))
      .then(({ repeated }) => (repeated ? "repeated" : "stored"))
      .catch((error: unknown) => (error instanceof Problem ? `${error.status} ${error.code}` : error));
  const waiting = () => harness.store.read((db) => readInbox(db, { certified: false, limit: 10 }));

  it("takes what it has room for, refuses the rest, and knows again what it took", async () => {
    const told = [];
    for (const id of ["a", "b", "c", "d", "b"]) told.push(await accept(id));
    expect(told).to.deep.equal(["stored", "stored", "stored", "503 inbox_full", "repeated"]);
    expect((await waiting()).map(({ id }) => id)).to.deep.equal(["a", "b", "c"]);
    expect(MAX_INBOX).to.equal(50_000);
  });
});
