/** A word for a POSIX shell. */
export const shellWord = (text: string): string => (/^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** A command of which each word stays one. */
export const shellLine = (command: readonly string[]): string => command.map(shellWord).join(" ");
