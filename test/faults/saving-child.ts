import { writeFileSync } from "node:fs";
import { DesiredState } from "../../agent/desired.ts";
import { StateFile } from "../../agent/state.ts";
import { silentLog } from "../../lib/log.ts";

/** Saves one revision after the other of a large state, without end: `saving-child.ts FILE TOLD`. TOLD has the number of the last one. */
const RULES = 10_000;
const CHANGES = 10;
const desired = new DesiredState({ widest4: 24, widest6: 64, rules: RULES }, null);
const set = (i: number, expiresAt: number) =>
  desired.change({ kind: "rule.set", lane: "ip", prefix: `198.18.${i >> 8}.${i & 255}/32`, expiresAt });
const position = () => ({ epoch: "e", revision: desired.revision, digest: desired.digest, seenMs: desired.revision });

const [, , file = "", told = ""] = process.argv;
using state = StateFile.open(file, "host1", silentLog);
desired.epoch = "e";
desired.revision = 1;
for (let i = 0; i < RULES; i++) set(i, 1);
state.replace(position(), desired);
desired.acknowledgeAll();
for (;;) {
  desired.revision++;
  for (let change = 0; change < CHANGES; change++) set((desired.revision + (change * RULES) / CHANGES) % RULES, desired.revision);
  const pending = desired.pending();
  state.save(position(), pending);
  desired.acknowledge(pending);
  writeFileSync(told, `${desired.revision}`);
}
