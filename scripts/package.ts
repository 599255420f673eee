import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { EXIT } from "../lib/service.ts";
import { VERSION } from "../lib/version.ts";
import { buildDeb, type Package } from "./package/deb.ts";
import { agentPackage, cliPackage, nodePackage, type PackageSource, registryPackage } from "./package/packages.ts";

const ROOT = join(import.meta.dirname, "..");
const HELP = `package: makes the Debian packages of all programs, byte for byte the same from the same sources

Usage: npm run package -- [--only NAME,…] [--build NAME] [--out DIR]

Options
  --only NAMES   agent, registry, cli, node-amd64, node-arm64, comma-separated; all of them by default
  --build NAME   the programs' version is VERSION+NAME: builds of one version that can upgrade each other
  --out DIR      default dist

The time that their files bear is SOURCE_DATE_EPOCH, or that of the last commit.
`;

const PACKAGES: Readonly<Record<string, (source: PackageSource) => Package>> = {
  "node-amd64": (source) => nodePackage(source, "amd64"),
  "node-arm64": (source) => nodePackage(source, "arm64"),
  agent: agentPackage,
  registry: registryPackage,
  cli: cliPackage,
};

function main(): number {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      build: { type: "string" },
      out: { type: "string", default: join(ROOT, "dist") },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const wanted = values.only === undefined ? Object.keys(PACKAGES) : values.only.split(",");
  const unknown = wanted.filter((name) => !Object.hasOwn(PACKAGES, name));
  if (unknown.length > 0) {
    process.stderr.write(`package: there is no ${unknown.join(", ")}; there is ${Object.keys(PACKAGES).join(", ")}\n`);
    return EXIT.usage;
  }
  if (values.build !== undefined && !/^[a-z0-9.]{1,32}$/.test(values.build)) {
    process.stderr.write("package: --build is 1 to 32 lower-case letters, digits and dots\n");
    return EXIT.usage;
  }
  const version = values.build === undefined ? VERSION : `${VERSION}+${values.build}`;
  const out = resolve(values.out);
  mkdirSync(out, { recursive: true });
  const bundles = mkdtempSync(join(tmpdir(), "entityos-bundles-"));
  try {
    run(join(ROOT, "scripts/run"), ["scripts/build.ts", bundles]);
    const source = { root: ROOT, bundles, version, epoch: sourceEpoch() };
    for (const name of wanted) {
      const deb = PACKAGES[name]?.(source);
      if (deb !== undefined) tell(buildDeb(deb, out, source.epoch));
    }
  } finally {
    rmSync(bundles, { recursive: true, force: true });
  }
  return EXIT.ok;
}

function tell(file: string): void {
  const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
  process.stdout.write(`${sha256}  ${basename(file)}  ${Math.ceil(statSync(file).size / 1024)} kB\n`);
}

/** Seconds since 1970 (https://reproducible-builds.org/specs/source-date-epoch/). */
function sourceEpoch(): number {
  const asked = process.env.SOURCE_DATE_EPOCH ?? run("git", ["-C", ROOT, "log", "-1", "--format=%ct"]);
  const epoch = Number(asked);
  if (!/^\d+\s*$/.test(asked) || !Number.isSafeInteger(epoch))
    throw new Error(`SOURCE_DATE_EPOCH is whole seconds since 1970: '${asked}' is not`);
  return epoch;
}

function run(program: string, words: readonly string[]): string {
  const done = spawnSync(program, words, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${basename(program)} ${words[0]} failed: ${done.stderr || done.error?.message}`);
  return done.stdout;
}

process.exitCode = main();
