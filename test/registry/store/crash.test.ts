import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect } from "chai";
import { ruleLine, StateDigest, trustLine } from "../../../lib/feed/digest.ts";
import { readHead, verifyAudit } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { testAuthorities } from "../process/authorities.ts";
import { Harness } from "../process/harness.ts";

const CHILD = join(import.meta.dirname, "crash.child.ts");

type Word = "outcome" | "signed";

/** Lets a child register until it said a word that often, then kills it in the middle of its work. */
async function killedAfter(count: number, word: Word, uses: number, pattern: string, folder: string): Promise<readonly string[]> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", CHILD, folder, String(uses), pattern], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  const ended = once(child, "close");
  try {
    let left = count;
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (line.startsWith(word) && --left === 0) child.kill("SIGKILL");
    }
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
  return lines;
}

describe("Storage killed in the middle of registrations", function () {
  this.timeout(120_000);

  for (const [outcomes, uses] of [
    [1, 1_000],
    [60, 1_000],
    [150, 100],
  ] as const) {
    it(`holds all that was acknowledged before the kill after ${outcomes} outcomes, and a code of ${uses} uses stays exact`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "entityos-crash-"));
      const told = await killedAfter(outcomes, "outcome", uses, "ip", folder);
      await using harness = await Harness.open(folder);
      const ids = (rows: readonly { id: string }[]) => new Set(rows.map(({ id }) => id));
      const submissions = ids(await harness.rows((db) => all(db.selectFrom("submissions").select("id"))));
      const concluded = new Map(
        (await harness.rows((db) => all(db.selectFrom("outcomes").select(["submission", "status"])))).map((row) => [
          row.submission,
          row.status,
        ]),
      );
      const waiting = ids(await harness.rows((db) => all(db.selectFrom("inbox").select("submission as id"))));
      for (const line of told) {
        const [word, id = "", status] = line.split(" ");
        expect(submissions.has(id), line).to.equal(true);
        if (word === "outcome") expect(concluded.get(id), line).to.equal(Number(status));
      }
      for (const id of submissions) expect(concluded.has(id), id).to.equal(!waiting.has(id));

      await using _process = await harness.process();
      await Promise.all([...submissions].map((id) => harness.outcome(id)));
      const enrolled = (await harness.rows((db) => all(db.selectFrom("outcomes").select("status")))).filter(
        ({ status }) => status === 201,
      ).length;
      expect(enrolled).to.equal(Math.min(uses, submissions.size));
      expect(await harness.rows((db) => all(db.selectFrom("codes").select("used")))).to.deep.equal([{ used: enrolled }]);
      expect(await harness.rows((db) => all(db.selectFrom("devices").select("id")))).to.have.length(enrolled);
      expect((await verifyAudit(harness.store)).ok).to.equal(true);
      await expectSoundHead(harness);
    });
  }
});

describe("Storage killed in the middle of registrations with certificates", function () {
  this.timeout(120_000);

  for (const [count, word, uses] of [
    [1, "signed", 1_000],
    // A code is spent by signatures alone: its last one is certain to be made, and one more is not.
    [10, "signed", 10],
    [40, "signed", 1_000],
    [1, "outcome", 1_000],
    [25, "outcome", 20],
  ] as const) {
    it(`lists every certificate that it told of, and no other, after '${word}' ${count} times with a code of ${uses} uses`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "entityos-crash-"));
      const told = await killedAfter(count, word, uses, "either", folder);
      await using harness = await Harness.open(folder);
      const before = await listed(harness);
      await expectOnlyTold(harness);
      const outcomes = told.filter((line) => /^outcome .* 201$/.test(line)).length;
      expect(before.size).to.be.at.least(outcomes);
      const signed = new Set(told.flatMap((line) => (line.startsWith("signed ") ? [line.slice("signed ".length)] : [])));
      expect([...before].filter((fingerprint) => !signed.has(fingerprint))).to.deep.equal([]);

      // What was signed and not stored is signed anew, and what was stored stays.
      const authorities = await testAuthorities();
      await using _process = await harness.process([], authorities);
      const submissions = await harness.rows((db) => all(db.selectFrom("submissions").select("id")));
      await Promise.all(submissions.map(({ id }) => harness.outcome(id)));
      const after = await listed(harness);
      expect([...before].every((fingerprint) => after.has(fingerprint))).to.equal(true);
      expect(after.size).to.equal(Math.min(uses, submissions.length));
      expect(await harness.rows((db) => all(db.selectFrom("codes").select("used")))).to.deep.equal([{ used: after.size }]);
      await expectOnlyTold(harness);
      await expectSoundHead(harness);
    });
  }
});

const listed = async (harness: Harness): Promise<ReadonlySet<string>> =>
  new Set(
    (await harness.rows((db) => all(db.selectFrom("certificates").select("fingerprint").where("device", "is not", null)))).map(
      ({ fingerprint }) => fingerprint,
    ),
  );

/** Certificates that are listed, that outcomes tell, that agents are told of, and devices: one and the same. */
async function expectOnlyTold(harness: Harness): Promise<void> {
  const certificates = await harness.rows((db) =>
    all(db.selectFrom("certificates").select(["fingerprint", "device", "pem"]).where("device", "is not", null)),
  );
  const outcomes = await harness.rows((db) => all(db.selectFrom("outcomes").select("body").where("status", "=", 201)));
  const answers = outcomes.map(({ body }) => JSON.parse(body) as { device: string; certificate: { pem: string } });
  const sorted = (list: readonly unknown[]) => list.map((one) => JSON.stringify(one)).sort();
  expect(sorted(answers.map(({ device, certificate }) => [device, certificate.pem]))).to.deep.equal(
    sorted(certificates.map(({ device, pem }) => [device, pem])),
  );
  const trusted = await harness.rows((db) => all(db.selectFrom("trust").select("id").where("target", "=", "certificate")));
  expect(sorted(trusted.map(({ id }) => id))).to.deep.equal(sorted(certificates.map(({ fingerprint }) => fingerprint)));
  const devices = await harness.rows((db) => all(db.selectFrom("devices").select("id")));
  expect(sorted(devices.map(({ id }) => id))).to.deep.equal(sorted(certificates.map(({ device }) => device)));
}

/** The head tells exactly the rules that stand, and the change log has no gap. */
async function expectSoundHead(harness: Harness): Promise<void> {
  const head = await harness.rows(readHead);
  const rules = await harness.rows((db) => all(db.selectFrom("rules").selectAll()));
  const digest = new StateDigest();
  for (const rule of rules) digest.add(ruleLine(rule.lane, rule.prefix, rule.expires_at));
  for (const entry of await harness.rows((db) => all(db.selectFrom("trust").selectAll())))
    digest.add(trustLine({ kind: "trust.set", ...entry }));
  expect(head).to.deep.include({ digest: digest.hex, rules: rules.length });
  const revisions = await harness.rows((db) => all(db.selectFrom("changes").select("revision").orderBy("revision")));
  expect(revisions.map(({ revision }) => revision)).to.deep.equal(Array.from({ length: head.revision }, (_, index) => index + 1));
}
