import { expect } from "chai";
import { Patience } from "../../../agent/nft/bounds.ts";
import { NftError } from "../../../agent/nft/error.ts";

describe("how long an nft is waited for", () => {
  let now: number;
  let patience: Patience;
  beforeEach(() => {
    now = 0;
    patience = new Patience(() => now);
  });
  const answer = (tookMs: number) =>
    patience.of(async () => {
      now += tookMs;
    });
  const silence = () => patience.of(() => Promise.reject(new NftError("timeout", "no answer"))).catch(() => {});

  it("is ten seconds for its first answer, then two", async () => {
    expect(patience.ms).to.equal(10_000);
    await answer(3);
    expect(patience.ms).to.equal(2_000);
  });

  it("is longer for a minute after a slow answer, whatever else is quick meanwhile", async () => {
    await answer(3);
    await answer(1_500);
    await answer(1);
    expect(patience.ms).to.equal(6_000);
    now += 59_000;
    expect(patience.ms).to.equal(6_000);
    now += 1_000;
    expect(patience.ms).to.equal(2_000);
  });

  it("doubles each time that it was too short, to ten seconds", async () => {
    await answer(3);
    const waits = [];
    for (let time = 0; time < 4; time++) {
      await silence();
      waits.push(patience.ms);
    }
    expect(waits).to.deep.equal([4_000, 8_000, 10_000, 10_000]);
  });

  it("learns nothing from an nft that died or refused", async () => {
    await answer(3);
    await patience.of(() => Promise.reject(new NftError("gone", "it died"))).catch(() => {});
    expect(patience.ms).to.equal(2_000);
  });
});
