import { Problem } from "../../lib/problem.ts";
import { URN } from "../../lib/service.ts";
import { isLive } from "../ca/ledger.ts";
import type { Peer } from "./identity.ts";
import type { AdminParts } from "./parts.ts";

/** Whoever may read metrics: operators, and certificates made for that alone. @throws Problem request_role */
export async function checkMetrics(parts: Pick<AdminParts, "store" | "clock">, peer: Peer): Promise<void> {
  const { store, clock } = parts;
  const now = clock.now();
  if (peer.kind === "metrics" && (await store.read((db) => isLive(db, peer.fingerprint, URN.metrics + peer.name, now)))) return;
  await checkOperator(parts, peer);
}

/** @throws Problem request_role for agents and everybody else who is no operator, or no longer one */
export async function checkOperator({ store, clock }: Pick<AdminParts, "store" | "clock">, peer: Peer): Promise<void> {
  if (peer.kind === "socket") return;
  const now = clock.now();
  if (peer.kind === "operator" && (await store.read((db) => isLive(db, peer.fingerprint, URN.operator + peer.name, now)))) return;
  throw new Problem(403, "request_role", "Only operators may ask this.");
}
