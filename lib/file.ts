import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";

/**
 * Replaces a file whole: written beside it, synced, renamed over it, the folder synced. A crash leaves the old or the new, never a part.
 * @throws the file system's error; the target is then as it was
 */
export function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600): void {
  const temporary = temporaryBeside(path);
  try {
    const fd = openSync(temporary, "wx", mode);
    try {
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      // Whatever the caller's umask takes away.
      fchmodSync(fd, mode);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/**
 * Makes a symbolic link, or turns the one that is there, in one step: who follows it meets the old target or the new.
 * @throws the file system's error; the link is then as it was
 */
export function linkAtomic(path: string, target: string): void {
  const temporary = temporaryBeside(path);
  try {
    symlinkSync(target, temporary);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

const TEMPORARY = /^\.(\d+)\.[a-z0-9]+\.tmp$/;

/** Takes away what processes that were killed in {@link writeFileAtomic} left in a folder; of those that live nothing. */
export function sweepTemporaries(folder: string): void {
  for (const file of readdirSync(folder)) {
    const pid = Number(TEMPORARY.exec(file)?.[1] ?? Number.NaN);
    if (pid > 0 && pid !== process.pid && !lives(pid)) rmSync(join(folder, file), { force: true });
  }
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

const temporaryBeside = (path: string): string => join(dirname(path), `.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`);

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * Makes a folder that only its owner may enter, with its parents; one that is there stays as it is.
 * @throws the file system's error
 */
export function makePrivateFolder(path: string): void {
  // Not by mkdir's `recursive`: where no folder can be made in one that is there (/proc), Node never stops trying.
  const parent = dirname(path);
  if (!existsSync(parent)) makePrivateFolder(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}

/** Makes a file that only its owner may read and write, or takes others' rights away from one that is there, wherever it stands. */
export function makePrivateFile(path: string): void {
  const file = openSync(path, "a", 0o600);
  try {
    fchmodSync(file, 0o600);
  } finally {
    closeSync(file);
  }
}
