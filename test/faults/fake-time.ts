import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LabPlan, Member } from "../lab/plan.ts";

/** Debian keeps libfaketime apart from other libraries, by architecture. */
function fakeTimeLibrary(): string {
  const found = readdirSync("/usr/lib").map((folder) => join("/usr/lib", folder, "faketime/libfaketimeMT.so.1"));
  const library = found.find((file) => {
    try {
      return readdirSync(join(file, "..")).includes("libfaketimeMT.so.1");
    } catch {
      return false;
    }
  });
  if (library === undefined) throw new Error("libfaketime is not there");
  return library;
}

const clockFile = (plan: LabPlan, member: Member) => join(plan.folder, `${member.name}.clock`);

/** From now on the clock of the member's programs that run under {@link underFakeTime} is off by this: "+1h", "-1h", "+4d". */
export const stepClock = (plan: LabPlan, member: Member, by: string): void => writeFileSync(clockFile(plan, member), `${by}\n`);

/**
 * The command as it runs with the member's clock.
 * @param passes true: time passes, by every clock. False: the wall clock is stepped and the monotonic one left alone, as a real step does
 */
export function underFakeTime(plan: LabPlan, member: Member, command: readonly string[], passes = false): readonly string[] {
  const fake = [`LD_PRELOAD=${fakeTimeLibrary()}`, `FAKETIME_TIMESTAMP_FILE=${clockFile(plan, member)}`, "FAKETIME_NO_CACHE=1"];
  return ["env", ...fake, "FAKETIME_DONT_RESET=1", `FAKETIME_DONT_FAKE_MONOTONIC=${passes ? 0 : 1}`, ...command];
}
