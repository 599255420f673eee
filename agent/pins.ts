import { hash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import { writeFileAtomic } from "../lib/file.ts";

/** Roots that are followed beside the pinned one. */
const MAX_FOLLOWED = 16;
const fileSchema = z.strictObject({ pin: z.string(), roots: z.array(z.string()).max(MAX_FOLLOWED) });

/**
 * Roots that this host took for the registry's because the pinned one vouched for them. They are kept in the state folder, so that it
 * knows the registry also when the old root and what tied the two together have left. They count for the very file that was pinned:
 * another pin, which an operator puts there by hand, begins anew.
 * @returns PEM of each; none when the file cannot be read as one of ours
 */
export function followedRoots(file: string, pinned: string): readonly string[] {
  if (!existsSync(file)) return [];
  try {
    const { pin, roots } = fileSchema.parse(JSON.parse(readFileSync(file, "utf8")));
    return pin === digestOf(pinned) ? roots : [];
  } catch {
    return [];
  }
}

/** Keeps roots that are believed now; none at all says nothing. Durable when it returns. @returns those that are followed from now on */
export function followRoots(file: string, pinned: string, believed: readonly string[]): readonly string[] {
  const held = followedRoots(file, pinned);
  const roots = believed.slice(0, MAX_FOLLOWED);
  if (roots.length === 0 || roots.join() === held.join()) return held;
  writeFileAtomic(file, JSON.stringify({ pin: digestOf(pinned), roots }), 0o644);
  return roots;
}

const digestOf = (pinned: string): string => hash("sha256", pinned);
