const COLUMNS = 80;
/** What stands in a column of its own begins no further to the right. */
const LAST_COLUMN = 32;

/**
 * A program's help as it fits a terminal of 80 columns: what is too long goes on below its own text. Lines at the margin that follow
 * each other are one paragraph; examples stay as they are, to be copied.
 */
export function fitted(help: string): string {
  const lines: string[] = [];
  let paragraph: string[] = [];
  let examples = false;
  const endParagraph = (): void => {
    const [first = ""] = paragraph;
    if (paragraph.length > 0) lines.push(...folded(paragraph.join(" "), first.startsWith("Usage: ") ? "Usage: ".length : 0));
    paragraph = [];
  };
  for (const line of help.split("\n")) {
    if (/^\S/.test(line)) {
      paragraph.push(line);
      examples = line === "Examples";
      continue;
    }
    endParagraph();
    lines.push(...(examples ? [line] : folded(line, columnOf(line))));
  }
  endParagraph();
  return lines.join("\n");
}

function folded(line: string, indent: number): string[] {
  const lines: string[] = [];
  let rest = line;
  while (rest.length > COLUMNS) {
    const at = rest.lastIndexOf(" ", COLUMNS);
    if (at <= indent) break;
    lines.push(rest.slice(0, at));
    rest = `${" ".repeat(indent)}${rest.slice(at + 1)}`;
  }
  return [...lines, rest];
}

/** Where a line's own text begins: behind the name of an option or a command, or else at its first word. */
function columnOf(line: string): number {
  const begin = line.search(/\S/);
  const column = /^ *\S.*? {2,}(?=\S)/.exec(line)?.[0].length ?? begin;
  return column > LAST_COLUMN ? begin + 2 : column;
}
