import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { writeFileAtomic } from "../../lib/file.ts";
import type { Lane } from "../../lib/service.ts";
import type { TerminatorKind } from "../config.ts";
import { type MapEntry, mapText } from "./entries.ts";
import { currentLink, type Layout, layoutOf, terminatorFolder } from "./layout.ts";

/** What a generation consists of. */
export interface GenerationContent {
  readonly config: (layout: Layout) => string;
  readonly authorities: string;
  /** Null: there is no CRL. */
  readonly revocations: string | null;
  /** What HAProxy looks up by itself; null where the terminator asks the agent. */
  readonly maps: { readonly certificates: Iterable<MapEntry>; readonly bindings: Iterable<MapEntry> } | null;
}

/** Characters that are put together before they are written. */
const BLOCK = 1 << 20;

/** The generation that the link names; null when there is none. */
export function currentGeneration(stateDir: string, kind: TerminatorKind): Layout | null {
  const link = currentLink(stateDir);
  try {
    return layoutOf(join(dirname(link), readlinkSync(link)), kind);
  } catch {
    return null;
  }
}

/** True where its configuration has that lane. */
export const hasLane = (layout: Layout | null, lane: Lane): boolean =>
  layout !== null && existsSync(layout.config) && readFileSync(layout.config, "utf8").includes(`X-EntityOS-Lane ${lane}`);

/** Writes a generation beside the others, whole and durable. It is not in use before {@link useGeneration}. */
export function writeGeneration(stateDir: string, kind: TerminatorKind, content: GenerationContent): Layout {
  const folder = terminatorFolder(stateDir);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const layout = layoutOf(join(folder, `generation-${nextNumber(folder)}`), kind);
  rmSync(layout.folder, { recursive: true, force: true });
  mkdirSync(layout.folder, { mode: 0o700 });
  if (content.maps !== null) {
    writeMap(layout.certificates, content.maps.certificates);
    writeMap(layout.gone, []);
    writeMap(layout.bindings, content.maps.bindings);
  }
  writeFileAtomic(layout.authorities, content.authorities);
  if (content.revocations !== null) writeFileAtomic(layout.revocations, content.revocations);
  writeFileAtomic(layout.config, content.config(layout));
  return layout;
}

/** From now on the terminator starts and reloads with this generation. */
export function useGeneration(stateDir: string, layout: Layout): void {
  const link = currentLink(stateDir);
  const temporary = `${link}.${process.pid}`;
  rmSync(temporary, { force: true });
  symlinkSync(basename(layout.folder), temporary);
  renameSync(temporary, link);
  syncFolder(dirname(link));
}

/** Takes away every generation but the named ones; null names none. */
export function sweepGenerations(stateDir: string, keep: readonly (Layout | null)[]): void {
  const folder = terminatorFolder(stateDir);
  const kept = new Set(keep.flatMap((layout) => (layout === null ? [] : [basename(layout.folder)])));
  for (const name of readdirSync(folder)) {
    if (/^generation-\d+$/.test(name) && !kept.has(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Replaces a map's file whole, durably. */
export function writeMap(file: string, entries: Iterable<MapEntry>): void {
  using _durable = replaceMap(file, entries);
}

/** Replaces a map's file whole; durable once disposed of. */
export function replaceMap(file: string, entries: Iterable<MapEntry>): Disposable {
  const temporary = `${file}.tmp`;
  const fd = openSync(temporary, "w", 0o600);
  try {
    let block = "";
    for (const entry of entries) {
      block += `${mapText(entry)}\n`;
      if (block.length < BLOCK) continue;
      writeAll(fd, block);
      block = "";
    }
    writeAll(fd, block);
    renameSync(temporary, file);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return durable(fd, () => syncFolder(dirname(file)));
}

/**
 * Adds lines to a map's file, which an HAProxy that starts from now on reads; durable once disposed of. All of them or, on a disk that is
 * full in the middle of one, none: half a line would be another entry.
 */
export function appendMap(file: string, entries: readonly MapEntry[]): Disposable {
  if (entries.length === 0) return { [Symbol.dispose]() {} };
  const fd = openSync(file, "a", 0o600);
  const { size } = fstatSync(fd);
  try {
    writeAll(fd, entries.map((entry) => `${mapText(entry)}\n`).join(""));
  } catch (error) {
    try {
      ftruncateSync(fd, size);
    } finally {
      closeSync(fd);
    }
    throw error;
  }
  return durable(fd);
}

const durable = (fd: number, more: () => void = () => {}): Disposable => ({
  [Symbol.dispose]() {
    try {
      fsyncSync(fd);
      more();
    } finally {
      closeSync(fd);
    }
  },
});

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

function nextNumber(folder: string): number {
  const numbers = existsSync(folder) ? readdirSync(folder).map((name) => Number(/^generation-(\d+)$/.exec(name)?.[1] ?? 0)) : [];
  return Math.max(0, ...numbers) + 1;
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
