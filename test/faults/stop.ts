import type { LabPlan } from "../lab/plan.ts";
import { findProcess, isAlive, sendSignal } from "../lab/processes.ts";
import { waitFor } from "../lab/wait.ts";

/** Ends a program of the lab and resolves when it is gone; nothing when it does not run. */
export async function stop(plan: LabPlan, name: string, signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
  const id = findProcess(plan.folder, name);
  if (id === undefined) return;
  sendSignal(id, signal);
  await waitFor(`${name} to be gone`, () => !isAlive(id) || undefined);
}
