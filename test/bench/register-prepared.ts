import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { generateCode } from "../../lib/registration/code.ts";
import { parseRegistryConfig, type RegistryConfig } from "../../registry/config.ts";
import { initialise } from "../../registry/init.ts";
import { pathsOf } from "../../registry/paths.ts";
import { createCode } from "../../registry/process/codes.ts";
import { setProfile } from "../../registry/process/profiles.ts";
import { takeLead } from "../../registry/store/queries.ts";
import { openSqliteStore } from "../../registry/store/sqlite.ts";

export const REGISTRY = "bench.example";
export const PROFILE = "bench";
export const SUBJECT = "bench";
const USES = 1_000_000;
const HOUR_MS = 3_600_000;

export interface StartAsk {
  readonly folder: string;
  readonly port: number;
  readonly controlPort: number;
}

/** A registry that nobody serves yet, with one code. */
export interface PreparedRegistry {
  readonly config: RegistryConfig;
  /** File of the root's certificate. */
  readonly root: string;
  /** Storage's file. */
  readonly database: string;
  /** The code as it is typed. */
  readonly code: string;
  readonly selector: string;
  readonly publicKey: string;
}

const configOf = ({ folder, port, controlPort }: StartAsk): RegistryConfig =>
  parseRegistryConfig(
    "bench",
    JSON.stringify({
      name: REGISTRY,
      stateDir: join(folder, "state"),
      runtimeDir: join(folder, "run"),
      register: { address: "127.0.0.1", port },
      control: { address: "127.0.0.1", port: controlPort },
      allowNetworks: ["10.0.0.0/8", "127.0.0.0/8"],
      limits: { registrationsPerMinute: 1_000_000, registrationsPerHour: 1_000_000_000 },
    }),
  );

/** Makes keys, Storage, a profile that takes any address, and a code. */
export async function prepareRegistry(ask: StartAsk): Promise<PreparedRegistry> {
  const config = configOf(ask);
  const { root } = await initialise(config, systemClock, silentLog);
  const { database } = pathsOf(config);
  const { text, selector, publicKey } = generateCode();
  const said = { now: Date.now(), actor: "bench" };
  await using store = await openSqliteStore({ file: database, log: silentLog });
  const lead = await takeLead(store, said.now);
  await store.write((db) => setProfile(db, lead, { name: PROFILE, settings: { pattern: "ip", addresses: "any" }, ...said }));
  const code = { selector, publicKey, subject: SUBJECT, profile: PROFILE, uses: USES, expiresAt: said.now + HOUR_MS };
  await store.write((db) => createCode(db, lead, { ...code, ...said }));
  return { config, root, database, code: text, selector, publicKey };
}
