import { existsSync } from "node:fs";
import { basename, join } from "node:path";

/**
 * A secret's file as this process can read it: what the service manager handed over under the file's own name
 * (LoadCredential=, systemd.exec(5)), else the file itself.
 */
export function credentialPath(path: string, environment: NodeJS.ProcessEnv = process.env): string {
  const folder = environment.CREDENTIALS_DIRECTORY;
  if (folder === undefined) return path;
  const handed = join(folder, basename(path));
  return existsSync(handed) ? handed : path;
}
