import { existsSync } from "node:fs";
import type { Clock } from "../lib/clock.ts";
import { makePrivateFolder } from "../lib/file.ts";
import type { Log } from "../lib/log.ts";
import { registerUrl } from "./admin/register-url.ts";
import { openAuthorities } from "./ca/authorities.ts";
import { makePki, type RootEntries, serverCertificate } from "./ca/files.ts";
import { makeSealing } from "./ca/sealing.ts";
import { namesOf, type RegistryConfig } from "./config.ts";
import { keysOf } from "./keys-of.ts";
import { pathsOf } from "./paths.ts";
import { rootEntries, settleAuthorities } from "./process/authorities.ts";
import { CRL_MARGIN_MS } from "./process/crl-maker.ts";
import { DEFAULT_PROFILE, ensureDefaultProfile } from "./process/profiles.ts";
import { readHead, takeLead } from "./store/queries.ts";
import { openSqliteStore } from "./store/sqlite.ts";
import { first } from "./store/store.ts";

/** What stands after `init`. */
export interface Initialised {
  /** Files and things that were made; none when all was there. */
  readonly made: readonly string[];
  readonly epoch: string;
  /** File of the root certificate. */
  readonly root: string;
}

/**
 * Makes whatever is missing of the registry's state: keys and certificates, Storage with its schema and epoch, the default profile.
 * What is there stays as it is, also beside a registry that runs.
 * @throws PkiError | KeyError | StoreRefusedError | Problem server_name, signer_unavailable
 */
export async function initialise(config: RegistryConfig, clock: Clock, log: Log): Promise<Initialised> {
  const paths = pathsOf(config);
  const now = clock.now();
  const keys = keysOf(config, clock);
  makePrivateFolder(config.stateDir);
  const isNew = !existsSync(paths.database);
  const entries = isNew ? undefined : await knownEntries(paths.database, now, log);
  const made = [...(await makePki(paths.pki, now, "P-256", keys, entries)), ...makeSealing(paths.pki)];
  await using store = await openSqliteStore({ file: paths.database, log });
  const authorities = openAuthorities(paths.pki, registerUrl(config), keys);
  await settleAuthorities(store, authorities);
  const { infrastructure: ca } = authorities;
  for (const role of ["register", "control"] as const) {
    if (role === "register" && config.register.certificate !== null) continue;
    made.push(...(await serverCertificate(paths.pki, role, namesOf(config, role), ca, now)).made);
  }
  // A start needs no signature from then on, also while the key is away.
  await authorities.anchors();
  if (isNew) made.push(paths.database);
  const profile = await store.read((db) => first(db.selectFrom("profiles").select("name").where("name", "=", DEFAULT_PROFILE)));
  if (profile === undefined) {
    // Only a registry that never ran has no default profile, so nobody's lead is taken here.
    const lead = await takeLead(store, now);
    await store.write((db) => ensureDefaultProfile(db, lead, { now }));
    made.push(`profile ${DEFAULT_PROFILE}`);
  }
  const { epoch } = await store.read(readHead);
  return { made, epoch, root: authorities.rootFile };
}

/** A root's next list must not forget what an operator took back. */
async function knownEntries(file: string, now: number, log: Log): Promise<RootEntries> {
  await using store = await openSqliteStore({ file, log });
  return store.read((db) => rootEntries(db, now - CRL_MARGIN_MS));
}
