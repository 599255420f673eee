import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../../lib/log.ts";
import { type Authorities, openAuthorities } from "../../../registry/ca/authorities.ts";
import type { CaKind } from "../../../registry/ca/authority.ts";
import { makePki } from "../../../registry/ca/files.ts";
import { enrollAgent } from "../../../registry/process/agents.ts";
import { settleAuthorities } from "../../../registry/process/authorities.ts";
import { CrlMaker } from "../../../registry/process/crl-maker.ts";
import { Rotation } from "../../../registry/process/rotation.ts";
import { beginRotation, showAuthorities } from "../../../registry/process/shown-authorities.ts";
import { readHead, recordAcks } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness } from "./harness.ts";

export const START = Date.UTC(2026, 10, 24, 12, 0, 0);
export const URL = "https://register.example";

/** A folder of CAs and Storage, anew for each test of one `describe`, and a rotation that is killed after every step. */
export function rotationScene(agents: readonly (readonly [name: string, zone: "open" | "restricted"])[]) {
  let harness: Harness;
  let folder: string;
  let authorities: Authorities;
  /** Infrastructure CAs whose clients control takes. */
  const taken = new Set<string>();
  beforeEach(async () => {
    taken.clear();
    folder = mkdtempSync(join(tmpdir(), "entityos-ca-"));
    await makePki(folder, START);
    authorities = openAuthorities(folder, URL);
    harness = await Harness.open();
    harness.now = START;
    for (const [name, zone] of agents) {
      const input = { name, zone, fingerprint: "f".repeat(64), replace: false, now: START, actor: "test" };
      await harness.store.write((db) => enrollAgent(db, harness.lead, input));
    }
  });
  afterEach(async () => {
    await harness[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** What a program that was just started finds, before it does anything. */
  const restart = async (): Promise<void> => {
    authorities = openAuthorities(folder, URL);
    await settleAuthorities(harness.store, authorities);
  };
  /** One step of a program that was just started, and dies. */
  const step = async (): Promise<boolean> => {
    await restart();
    const parts = { store: harness.store, lead: harness.lead, clock: harness.clock, log: silentLog };
    await new CrlMaker({ ...parts, authorities: () => authorities.all }).turn(1);
    return (await new Rotation({ ...parts, authorities, anchored: (ca) => taken.has(ca) }).turn(1)) === 0;
  };

  return {
    taken,
    restart,
    steps: async (): Promise<number> => {
      let count = 0;
      while (await step()) count++;
      await restart();
      return count;
    },
    begin: (kind: CaKind) =>
      beginRotation(harness.store, harness.lead, { authorities, kind, now: harness.clock.now(), actor: "operator:a" }),
    /** "active device-1a2b3c4d" and the like. */
    states: async () => (await harness.rows((db) => showAuthorities(db, authorities))).map(({ id, state }) => `${state} ${id}`),
    /** What agents are told of, sorted. */
    trusted: async (target: "ca" | "crl") =>
      (await harness.rows((db) => all(db.selectFrom("trust").select("id").where("target", "=", target).orderBy("id")))).map(({ id }) => id),
    acknowledge: async (...names: string[]) => {
      const { revision } = await harness.rows(readHead);
      const acks = names.map((name) => ({ name, revision, seenAt: START }));
      await harness.store.write((db) => recordAcks(db, acks), ["progress"]);
    },
    idOf: (kind: CaKind) => authorities.all.find((one) => one.kind === kind)?.id ?? "",
    files: () => readdirSync(folder).sort(),
    get harness() {
      return harness;
    },
    get folder() {
      return folder;
    },
    get authorities() {
      return authorities;
    },
  };
}
