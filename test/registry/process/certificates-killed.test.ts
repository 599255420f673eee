import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makePki } from "../../../registry/ca/files.ts";
import { all } from "../../../registry/store/store.ts";
import { authoritiesIn, csr } from "./authorities.ts";
import { Harness, type TestCode } from "./harness.ts";

const CHILD = join(import.meta.dirname, "certificates-killed.child.ts");
const ASKED = 12;
const USES = 8;

describe("Process killed with certificates that were asked for together", function () {
  this.timeout(60_000);

  /** What Storage holds of them: outcomes by code or status, PEM that was told and PEM that is listed. */
  async function held(harness: Harness, ids: readonly string[]) {
    const outcomes = await harness.rows((db) =>
      all(db.selectFrom("outcomes").select(["submission", "status", "body"]).orderBy("submission")),
    );
    const listed = await harness.rows((db) => all(db.selectFrom("certificates").select("pem").where("device", "is not", null)));
    const bodies = outcomes.filter(({ submission }) => ids.includes(submission)).map(({ body }) => JSON.parse(body));
    return {
      refused: bodies.flatMap(({ code }) => code ?? []),
      told: bodies.flatMap(({ certificate }) => certificate?.pem ?? []).sort(),
      listed: listed.map(({ pem }) => pem).sort(),
    };
  }

  /** Storage as the killed process left it: closed, with so many submissions in its inbox, then opened by a child that dies. */
  async function killed(
    moment: "signed" | "stored",
    count: number,
  ): Promise<{ harness: Harness; ids: string[]; code: TestCode; pki: string }> {
    const folder = mkdtempSync(join(tmpdir(), "entityos-killed-"));
    const pki = join(folder, "pki");
    await makePki(pki, Date.now());
    const before = await Harness.open(folder);
    const code = await before.code({ pattern: "cert" }, { uses: USES });
    const ids: string[] = [];
    for (let i = 0; i < ASKED; i++) ids.push(await before.submit(code, { addresses: [] }, { csr: await csr() }));
    await before.store[Symbol.asyncDispose]();
    const args = ["--disable-warning=ExperimentalWarning", CHILD, folder, pki, moment, String(count)];
    const { signal, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 30_000 });
    expect([signal, stderr]).to.deep.equal(["SIGKILL", ""]);
    return { harness: await Harness.open(folder), ids, code, pki };
  }

  for (const [moment, count] of [
    ["signed", 1],
    ["signed", ASKED],
    ["stored", 0],
  ] as const) {
    it(`when ${moment === "signed" ? `${count} of them are signed` : "they are stored and nobody was told"} lists what it told, and tells what it listed`, async () => {
      const { harness, ids, code, pki } = await killed(moment, count);
      await using _harness = harness;
      const left = await held(harness, ids);
      expect(left.told).to.deep.equal(left.listed);
      expect([left.listed.length, left.refused.length]).to.deep.equal(moment === "signed" ? [0, 0] : [USES, ASKED - USES]);
      expect(await harness.used(code)).to.equal(left.listed.length);
      await using _process = await harness.process([], authoritiesIn(pki));
      await Promise.all(ids.map((id) => harness.outcome(id)));
      const done = await held(harness, ids);
      expect(done.told).to.deep.equal(done.listed);
      expect([done.listed.length, done.refused]).to.deep.equal([USES, Array(ASKED - USES).fill("code_spent")]);
      expect(done.listed).to.include.members(left.listed);
      expect(await harness.used(code)).to.equal(USES);
    });
  }
});
