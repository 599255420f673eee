import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { Attempts } from "../../../registry/http/attempts.ts";
import { CodeKeys } from "../../../registry/http/code-keys.ts";
import type { Store } from "../../../registry/store/store.ts";
import { Harness } from "../process/harness.ts";

const LIMITS = {
  registrationsPerMinute: 10,
  registrationsPerHour: 10,
  wrongProofsPerSigner: 1,
  wrongProofsPerHour: 10,
  devicesPerAddress: 50,
};

describe("keys of codes", () => {
  let harness: Harness;
  let attempts: Attempts;
  let keys: CodeKeys;
  let reads: number;
  beforeEach(async () => {
    harness = await Harness.open();
    reads = 0;
    const read: Store["read"] = (command) => {
      reads++;
      return harness.store.read(command);
    };
    attempts = new Attempts(LIMITS, { store: harness.store, clock: harness.clock, log: silentLog });
    keys = new CodeKeys(Object.assign(Object.create(harness.store) as Store, { read }), attempts);
  });
  afterEach(async () => {
    attempts[Symbol.dispose]();
    await harness[Symbol.asyncDispose]();
  });
  const attempt = (selector: string, source = "8.8.4.4/32") => ({ source, signer: `code:${selector}`, now: harness.clock.now() });

  it("are looked up at one time for all that ask in one turn, each for itself", async () => {
    const [one, two] = [await harness.code(), await harness.code()];
    await attempts.countWrong(attempt(two.selector));
    const asked = [one.selector, two.selector, "00000000", one.selector].map((selector) => keys.of(attempt(selector), selector));
    const elsewhere = keys.of(attempt(two.selector, "8.8.8.8/32"), two.selector);
    const told = await Promise.all([...asked, elsewhere].map((key) => key.catch((problem) => problem.code)));
    expect(told).to.deep.equal([one.publicKey, "proofs_limited", null, one.publicKey, two.publicKey]);
    expect(reads).to.equal(1);
    expect(await keys.of(attempt(one.selector), one.selector)).to.equal(one.publicKey);
    expect(reads).to.equal(2);
  });

  it("are refused to all that asked when Storage cannot be read", async () => {
    await harness.store[Symbol.asyncDispose]();
    const told = await Promise.all(
      ["00000000", "00000001"].map((selector) => keys.of(attempt(selector), selector).catch(({ code }) => code)),
    );
    expect(told).to.deep.equal(["storage_unavailable", "storage_unavailable"]);
  });
});
