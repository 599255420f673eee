import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Debian's and npm's names of what Node is packed for. */
const NPM_ARCHITECTURE = { amd64: "x64", arm64: "arm64" } as const;
export type NodeArchitecture = keyof typeof NPM_ARCHITECTURE;

interface Locked {
  readonly version: string;
  readonly integrity: string;
}

/** The folder of a Node package of the lockfile: bin/node, LICENSE. */
export interface NodeFolder {
  readonly folder: string;
  readonly version: string;
}

/**
 * The lockfile's Node for one architecture: what npm installed here, else fetched by npm once, checked against the lockfile's integrity
 * and kept in node_modules/.cache.
 * @throws Error when npm cannot fetch it, or what came is not what is locked
 */
export function lockedNode(root: string, architecture: NodeArchitecture): NodeFolder {
  const name = `node-linux-${NPM_ARCHITECTURE[architecture]}`;
  const { version, integrity } = locked(root, name);
  const installed = join(root, "node_modules", name);
  if (existsSync(join(installed, "bin/node")) && versionOf(installed) === version) return { folder: installed, version };
  const kept = join(root, "node_modules/.cache/entityos", `${name}-${version}`);
  if (!existsSync(kept)) fetchTo(kept, `${name}@${version}`, integrity);
  return { folder: kept, version };
}

export const lockedNodeVersion = (root: string, architecture: NodeArchitecture): string =>
  locked(root, `node-linux-${NPM_ARCHITECTURE[architecture]}`).version;

function locked(root: string, name: string): Locked {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: Record<string, Partial<Locked>> };
  const { version, integrity } = lock.packages[`node_modules/${name}`] ?? {};
  if (version === undefined || integrity === undefined) throw new Error(`The lockfile has no ${name}`);
  return { version, integrity };
}

const versionOf = (folder: string): string =>
  (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }).version;

function fetchTo(kept: string, spec: string, integrity: string): void {
  mkdirSync(join(kept, ".."), { recursive: true });
  const work = mkdtempSync(join(kept, "../.fetch-"));
  try {
    command("npm", ["pack", "--silent", "--prefer-offline", "--ignore-scripts", "--pack-destination", work, spec]);
    const archive = join(work, `${spec.replace("@", "-")}.tgz`);
    const [algorithm = "", digest] = integrity.split(/-(.*)/s);
    if (createHash(algorithm).update(readFileSync(archive)).digest("base64") !== digest)
      throw new Error(`${spec} as fetched is not what the lockfile names`);
    command("tar", ["-xzf", archive, "-C", work, "package/bin/node", "package/LICENSE", "package/package.json"]);
    renameSync(join(work, "package"), kept);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function command(program: string, words: readonly string[]): void {
  const run = spawnSync(program, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (run.status !== 0) throw new Error(`${program} ${words[0]} failed: ${run.stderr || run.error?.message}`);
}
