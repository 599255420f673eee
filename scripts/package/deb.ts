import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

/** A Debian package as a value: what it says of itself, and every file of it. */
export interface Package {
  readonly name: string;
  readonly version: string;
  readonly architecture: "all" | "amd64" | "arm64";
  /** Fields of its control file beside those above, in order (deb-control(5)). */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly files: readonly PackageFile[];
  /** Maintainer scripts by name: "postinst". */
  readonly scripts: Readonly<Record<string, string>>;
  /** Files of other packages: when one of them is replaced, postinst is called with the word triggered (deb-triggers(5)). */
  readonly interests?: readonly string[];
  /** xz's level: the highest for what is small, the lowest where it would take a minute. */
  readonly level: 0 | 9;
}

export interface PackageFile {
  /** Absolute, as installed. Files below /etc are configuration files. */
  readonly path: string;
  readonly mode: 0o644 | 0o755;
  readonly content: FileContent;
}

export type FileContent =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "gzip"; readonly text: string }
  | { readonly kind: "copy"; readonly from: string };

/**
 * Builds FOLDER/NAME_VERSION_ARCHITECTURE.deb with dpkg-deb(1), the same bytes for the same package and time on any machine with the same dpkg.
 * @param epoch seconds since 1970 that every file in it bears
 * @returns the file
 * @throws Error with dpkg-deb's words
 */
export function buildDeb(deb: Package, folder: string, epoch: number): string {
  const root = mkdtempSync(join(tmpdir(), "entityos-deb-"));
  try {
    for (const file of deb.files) place(root, file);
    control(root, deb);
    settle(root, epoch);
    const file = join(folder, `${deb.name}_${deb.version}_${deb.architecture}.deb`);
    // One thread: how a compressor cuts its input may follow from how many work on it.
    const words = ["--root-owner-group", "--threads-max=1", "-Zxz", `-z${deb.level}`, "--build", root, file];
    const run = spawnSync("dpkg-deb", words, { encoding: "utf8", env: { ...process.env, LC_ALL: "C", SOURCE_DATE_EPOCH: String(epoch) } });
    if (run.status !== 0) throw new Error(`dpkg-deb could not build ${deb.name}: ${run.stderr || run.error?.message}`);
    return file;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function place(root: string, { path, mode, content }: PackageFile): void {
  const target = join(root, path);
  mkdirSync(dirname(target), { recursive: true });
  if (content.kind === "copy") cpSync(content.from, target);
  else writeFileSync(target, content.kind === "text" ? content.text : gzipSync(content.text, { level: 9 }));
  chmodSync(target, mode);
}

function control(root: string, deb: Package): void {
  const folder = join(root, "DEBIAN");
  mkdirSync(folder);
  const fields = [
    ["Package", deb.name],
    ["Version", deb.version],
    ["Architecture", deb.architecture],
    ["Installed-Size", String(sizeKiB(deb, root))],
    ...deb.fields,
  ];
  writeFileSync(join(folder, "control"), fields.map(([name, value]) => `${name}: ${value}\n`).join(""));
  const kept = deb.files.map(({ path }) => path).filter((path) => path.startsWith("/etc/"));
  if (kept.length > 0) writeFileSync(join(folder, "conffiles"), kept.map((path) => `${path}\n`).join(""));
  const interests = deb.interests ?? [];
  if (interests.length > 0) writeFileSync(join(folder, "triggers"), interests.map((path) => `interest-noawait ${path}\n`).join(""));
  const sums = deb.files.filter(({ path }) => !kept.includes(path));
  writeFileSync(join(folder, "md5sums"), sums.map(({ path }) => `${md5(join(root, path))}  ${path.slice(1)}\n`).join(""));
  for (const file of readdirSync(folder)) chmodSync(join(folder, file), 0o644);
  for (const [name, text] of Object.entries(deb.scripts)) {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), 0o755);
  }
}

/** Whoever builds has a umask and a clock: neither shows. */
function settle(path: string, epoch: number): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) settle(inner, epoch);
    else lutimesSync(inner, epoch, epoch);
  }
  chmodSync(path, 0o755);
  lutimesSync(path, epoch, epoch);
}

/** As dpkg counts: whole KiB of every file (deb-substvars(5)). */
const sizeKiB = (deb: Package, root: string): number =>
  deb.files.reduce((sum, { path }) => sum + Math.ceil(statSync(join(root, path)).size / 1024), 0);

const md5 = (file: string): string => createHash("md5").update(readFileSync(file)).digest("hex");
