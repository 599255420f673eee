import { expect } from "chai";
import { endsSoon } from "../../lib/certificate-life.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

describe("a server's certificate ends soon", () => {
  for (const [what, lifeMs, nearMs] of [
    ["for a year: with less than a week left", 365 * DAY_MS, 7 * DAY_MS],
    ["for 90 days: with less than a week left", 90 * DAY_MS, 7 * DAY_MS],
    ["for six days: with less than a quarter of them left", 6 * DAY_MS, 36 * HOUR_MS],
  ] as const) {
    it(`that lasts ${what}, and after its end`, () => {
      const life = { notBefore: 1_000, notAfter: 1_000 + lifeMs };
      const at = (leftMs: number) => endsSoon(life, life.notAfter - leftMs);
      expect([at(lifeMs), at(nearMs), at(nearMs - 1), at(0), at(-DAY_MS)]).to.deep.equal([false, false, true, true, true]);
    });
  }
});
