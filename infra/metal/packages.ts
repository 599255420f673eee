import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../lib/config.ts";

/** One of the packages that `npm run package` makes. */
export interface PackageFile {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Name of the file in the packages folder. */
  readonly file: string;
  readonly sha256: string;
}

/** What a folder of packages holds, for each name and architecture one. */
export interface PackageFolder {
  readonly folder: string;
  readonly files: readonly PackageFile[];
}

const OURS = ["entityos-agent", "entityos-registry", "entityos-cli", "entityos-node"] as const;
export type PackageName = (typeof OURS)[number];

const NAME = /^(entityos-[a-z]+)_([A-Za-z0-9.+~-]+)_(all|amd64|arm64)\.deb$/;

/** @throws ConfigError naming every package that is missing or there in two versions */
export function readPackages(folder: string): PackageFolder {
  let entries: string[];
  try {
    entries = readdirSync(folder).sort();
  } catch (cause) {
    throw new ConfigError(
      folder,
      [`packages: the folder cannot be read (${cause instanceof Error ? cause.message : String(cause)})`],
      cause,
    );
  }
  const files = entries.flatMap((file): PackageFile[] => {
    const [, name = "", version = "", architecture = ""] = NAME.exec(file) ?? [];
    if (!OURS.some((ours) => ours === name)) return [];
    const sha256 = createHash("sha256")
      .update(readFileSync(join(folder, file)))
      .digest("hex");
    return [{ name, version, architecture, file, sha256 }];
  });
  const problems = OURS.filter((name) => !files.some((file) => file.name === name)).map(
    (name) => `packages: ${name} is not there: npm run package makes it`,
  );
  for (const [index, one] of files.entries()) {
    const before = files.slice(0, index).find((other) => other.name === one.name && other.architecture === one.architecture);
    if (before !== undefined) problems.push(`packages: ${before.file} and ${one.file}: one of them`);
  }
  if (problems.length > 0) throw new ConfigError(folder, problems);
  return { folder, files };
}

/** The package for a machine; undefined when the folder has none for its architecture. */
export const packageFor = ({ files }: PackageFolder, name: PackageName, architecture: string): PackageFile | undefined =>
  files.find((file) => file.name === name && (file.architecture === "all" || file.architecture === architecture));
