import type { Synthesis } from "../synthesis.ts";
import { ACCESS } from "./access.ts";
import { CAST } from "./cast.ts";
import { CONFIGURATION } from "./configuration.ts";
import { FIRST_BOOT } from "./first-boot.ts";
import { FLOWS } from "./flows.ts";
import { HOSTS } from "./hosts.ts";
import { NETWORK } from "./network.ts";
import { REFUSED } from "./refused.ts";
import type { Forbidden } from "./rule.ts";
import { STACKS } from "./stacks.ts";
import { STORAGE } from "./storage.ts";

/** Everything that must not be deployed. `synth` refuses it, and the tests show each rule failing once. */
export const FORBIDDEN: readonly Forbidden[] = [
  ...STACKS,
  ...CAST,
  ...FLOWS,
  ...NETWORK,
  ...ACCESS,
  ...STORAGE,
  ...HOSTS,
  ...CONFIGURATION,
  ...FIRST_BOOT,
  ...REFUSED,
];

/** All that is forbidden in what was synthesised: "rule: place: what". */
export const findings = (synthesis: Synthesis): string[] =>
  FORBIDDEN.flatMap(({ name, look }) => look(synthesis).map((found) => `${name}: ${synthesis.settings.environment} ${found}`));
