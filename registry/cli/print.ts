/** Rows under a heading, columns aligned to their widest cell; what a terminal could take for a command is made visible. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [heading, ...rows.map((row) => row.map(visible))];
  const widths = heading.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** "name: value" lines, values aligned. */
export function facts(pairs: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length)) + 2;
  return pairs.map(([name, value]) => `${`${name}:`.padEnd(width)}${visible(value)}\n`).join("");
}

/** "1 grant", "2 grants". */
export const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;

/** "2026-11-23 23:44:09 UTC"; "-" for never. */
export const timeText = (ms: number | null): string =>
  ms === null ? "-" : `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** When and how something ended; "-" while it lives. */
export const endText = ({ endedAt, endReason }: { readonly endedAt: number | null; readonly endReason: string | null }): string =>
  endedAt === null ? "-" : `${timeText(endedAt)}, ${endReason ?? "ended"}`;

/** What others wrote (a subject, an audit entry) must not move the cursor of the one who reads it. */
export const visible = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
