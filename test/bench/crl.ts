import { createPrivateKey, hash, randomBytes, sign } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import type { Authority } from "../../registry/ca/authorities.ts";
import { generateKey } from "../../registry/ca/signer.ts";
import { CrlMaker } from "../../registry/process/crl-maker.ts";
import { readCrlDer, wantCrl } from "../../registry/store/crls.ts";
import { prepared } from "../../registry/store/prepared.ts";
import { takeLead } from "../../registry/store/queries.ts";
import { openSqliteStore } from "../../registry/store/sqlite.ts";
import { all, type Store } from "../../registry/store/store.ts";
import { testAuthorities } from "../registry/process/authorities.ts";
import type { Measured, Wish } from "./stats.ts";

const DAY_MS = 86_400_000;
const ROWS_PER_COMMIT = 10_000;
/** About what a device's certificate takes, characters of PEM. */
const PEM = "x".repeat(1_200);

/** A list of that many entries, as Process makes it: read from Storage, signed, stored. Beside the digest and signature of as many bytes. */
export async function measureCrl({ elements, samples, progress, signal }: Wish): Promise<Measured> {
  progress(`CRL, ${elements} entries: seeding`);
  const folder = mkdtempSync(join(tmpdir(), "eos-bench-"));
  try {
    await using store = await openSqliteStore({ file: join(folder, "registry.db"), log: silentLog });
    const lead = await takeLead(store, Date.now());
    const authority = (await testAuthorities()).all.find(({ kind }) => kind === "device");
    if (authority === undefined) throw new Error("there is no device CA");
    await seedRevoked(store, authority, elements);
    progress(`CRL, ${elements} entries: measuring`);
    const key = createPrivateKey(generateKey().pem);
    const measured: Measured = { what: `CRL of ${elements.toLocaleString("en-US")} entries`, samples: [], floor: [] };
    for (let i = 0; i < samples; i++) {
      signal.throwIfAborted();
      await store.write((db) => wantCrl(db, authority.name));
      // A new one each time: the same one rests after a long list.
      const maker = new CrlMaker({ store, lead, authorities: () => [authority], clock: systemClock, log: silentLog });
      const begun = performance.now();
      await maker.turn(DAY_MS);
      measured.samples.push(performance.now() - begun);
      const der = await store.read((db) => readCrlDer(db, { ca: authority.id }));
      if (der === null || der.length < elements * 20) throw new Error("the list is not whole");
      const between = performance.now();
      hash("sha256", der);
      sign("sha256", der, key);
      measured.floor.push(performance.now() - between);
    }
    return measured;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Revoked {
  readonly fingerprint: string;
  readonly serial: string;
  readonly issuer: string;
  readonly at: number;
  readonly until: number;
}

const insertRevoked = prepared((db, v: Revoked) =>
  db.insertInto("certificates").values({
    ...{ fingerprint: v.fingerprint, serial: v.serial, issuer: v.issuer, subject: "bench", device: null, state: "revoked" },
    ...{ not_before: 0, not_after: v.until, ends_at: v.until, revoked_at: v.at, reason: "privilegeWithdrawn", pem: PEM },
  }),
);

/** Their numbers and digests are random, as real ones are: their rows lie anywhere. */
async function seedRevoked(store: Store, { name: issuer }: Authority, count: number): Promise<void> {
  const now = Date.now();
  for (let from = 0; from < count; from += ROWS_PER_COMMIT) {
    const to = Math.min(count, from + ROWS_PER_COMMIT);
    await store.write(function* (db) {
      for (let i = from; i < to; i++) {
        const [fingerprint, serial] = [randomBytes(32).toString("hex"), randomBytes(16).toString("hex")];
        yield* all(insertRevoked(db, { fingerprint, serial, issuer, at: now - i, until: now + DAY_MS }));
      }
    });
  }
}
