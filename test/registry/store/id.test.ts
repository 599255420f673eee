import { expect } from "chai";
import { newId } from "../../../registry/store/id.ts";

describe("an id", () => {
  /** Beyond what any other test makes, since ids only go up. */
  const FUTURE_MS = 4_000_000_000_000;

  it("is a UUID of version 7 that begins with its time", () => {
    expect(newId(FUTURE_MS)).to.match(/^03a35294-4000-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it("is above those before, within a millisecond and when the clock goes back", () => {
    const ids = Array.from({ length: 20_000 }, (_, index) => newId(FUTURE_MS - index));
    expect(ids.toSorted()).to.deep.equal(ids);
    expect(new Set(ids).size).to.equal(20_000);
  });
});
