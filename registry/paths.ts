import { join } from "node:path";
import type { RegistryConfig } from "./config.ts";

/** Where the registry keeps what it keeps, below its state folder. */
export const pathsOf = ({ stateDir }: Pick<RegistryConfig, "stateDir">) => ({
  database: join(stateDir, "registry.sqlite"),
  pki: join(stateDir, "pki"),
});
