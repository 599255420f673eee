import { parseAws } from "../../../infra/aws/settings.ts";
import { ConfigError } from "../../../lib/config.ts";

/** Every problem that settings are refused with, "path: message". */
export function problems(text: string): readonly string[] {
  try {
    parseAws("test.yaml", text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("nothing was refused");
}
