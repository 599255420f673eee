import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StateFile } from "../../agent/state.ts";
import type { AuditVerdict, Code, Page, RegistryStatus } from "../../lib/admin/api.ts";
import { silentLog } from "../../lib/log.ts";
import type { Control } from "../../registry/cli/control.ts";
import { paths } from "../lab/folder.ts";
import type { LabPlan, Member } from "../lab/plan.ts";
import { findProcess, type ProcessId } from "../lab/processes.ts";
import { agentOf, agentStatus } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";
import { copyAsCrashed } from "./crash-copy.ts";
import { differences, readElements } from "./kernel.ts";
import type { Model } from "./model.ts";

const LOOK_EVERY_MS = 50;

/** Everything that is compared with the model once the system is at rest, in this order. What does not hold, in words. */
export async function check(model: Model, plan: LabPlan, control: Control, timeoutMs: number): Promise<readonly string[]> {
  const problems = await atRest(model, plan, control, timeoutMs);
  if (problems.length > 0) return problems;
  return [
    ...(await codes(model, control)),
    ...(await audit(control)),
    ...(await Promise.all(plan.hosts.map((host) => stateFile(plan, host)))).flat(),
  ];
}

/** Waits until registry, agents and kernels hold what the model says; else tells what still differs when time is up. */
async function atRest(model: Model, plan: LabPlan, control: Control, timeoutMs: number): Promise<readonly string[]> {
  let last: readonly string[] = [];
  const look = async () => {
    last = await unrest(model, plan, control);
    return last.length === 0 || undefined;
  };
  await waitFor("rest", look, { timeoutMs, everyMs: LOOK_EVERY_MS }).catch(() => {});
  return last;
}

async function unrest(model: Model, plan: LabPlan, control: Control): Promise<readonly string[]> {
  const status = await control.get<RegistryStatus>("/status").catch(() => null);
  if (status === null) return ["the registry does not answer"];
  const now = Date.now();
  const rules = model.rules(now);
  const digest = model.digest(now);
  const found: string[] = [];
  if (status.inbox > 0) found.push(`${status.inbox} submissions wait in the inbox`);
  if (status.digest !== digest || status.rules !== rules.size)
    found.push(`the registry holds ${status.rules} rules with digest ${status.digest}, accepted were ${rules.size} with ${digest}`);
  for (const host of plan.hosts) {
    const agent = await agentStatus(plan, host).catch(() => undefined);
    if (agent?.state !== "enforcing" || !agent.floor)
      found.push(`${host.name} is ${agent?.state ?? "down"}, floor ${agent?.floor ?? false}`);
    else if (agent.revision !== status.revision || agent.digest !== digest)
      found.push(`${host.name} is at revision ${agent.revision} with ${agent.digest}, the registry at ${status.revision}`);
  }
  if (found.length > 0) return found;
  for (const host of plan.hosts) {
    const elements = await readElements(host.netns);
    found.push(...differences(elements, rules, Date.now()).map((what) => `${host.name}'s kernel: ${what}`));
  }
  return found;
}

async function codes(model: Model, control: Control): Promise<readonly string[]> {
  const found: string[] = [];
  const stored = new Map<string, Code>();
  for (let after: string | undefined; ; ) {
    const page: Page<Code> = await control.page<Code>("/codes", { after, limit: "1000" });
    for (const code of page.items) stored.set(code.selector, code);
    if (page.next === null) break;
    after = page.next;
  }
  for (const known of model.codes.values()) {
    const code = stored.get(known.selector);
    if (code === undefined) found.push(`code ${known.selector} was made and is not there`);
    else if (code.used !== known.enrolled || code.used > code.uses)
      found.push(`code ${known.selector} counts ${code.used} of ${code.uses} uses, enrolled were ${known.enrolled}`);
    else if ((code.withdrawnAt === null) !== (known.withdrawnAt === null)) found.push(`code ${known.selector}: withdrawal got lost`);
    else if (known.toldSpent && code.used < code.uses && known.withdrawnAt === null)
      found.push(`code ${known.selector} was told used up at ${code.used} of ${code.uses} uses`);
  }
  return found;
}

async function audit(control: Control): Promise<readonly string[]> {
  const verdict = await control.send<AuditVerdict>("POST", "/audit/verify");
  return verdict.ok ? [] : [`the audit log is broken at entry ${verdict.brokenAt}`];
}

/**
 * The agent's state as a crash at this moment would leave it: it must load, as a revision that is in force. What runs out is a revision too:
 * where two came between the first look and the last, all of it is looked at again.
 */
async function stateFile(plan: LabPlan, host: Member): Promise<readonly string[]> {
  for (;;) {
    const before = await agentStatus(plan, host);
    const agent = findProcess(plan.folder, agentOf(host));
    if (agent === undefined) return [`${host.name}'s agent is down`];
    const crashed = await loadCrashed(agent, paths(plan).dataOf(host.name), host.name);
    const after = await agentStatus(plan, host);
    if (before?.digest === crashed.digest || after?.digest === crashed.digest) return [];
    if (before?.revision === after?.revision)
      return [`${host.name}'s saved state loads as revision ${crashed.revision} with ${crashed.digest}, in force is ${after?.revision}`];
  }
}

async function loadCrashed(agent: ProcessId, data: string, name: string): Promise<{ readonly revision: number; readonly digest: string }> {
  const folder = mkdtempSync(join(tmpdir(), "entityos-faults-"));
  try {
    await copyAsCrashed(agent, data, folder);
    using state = StateFile.open(join(folder, "state.db"), name, silentLog);
    return state.load({ widest4: 0, widest6: 0, rules: 5_000_000 }, null, silentLog);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
