/** What went wrong, as far as a caller decides by it. */
export type NftErrorKind =
  /** A table, chain, set or element is not there. */
  | "missing"
  /** It is there already, in another form. */
  | "exists"
  /** Still referred to, or another process is changing the ruleset. */
  | "busy"
  /** Not root, or the table is another process's own. */
  | "permission"
  /** nft does not understand the script: a fault of ours, or a version that is too old. */
  | "syntax"
  /** A set or a socket buffer is full. */
  | "full"
  /** nft cannot be started or lacks JSON. */
  | "unusable"
  /** The process ended before it answered: what it was given may be done or not. */
  | "gone"
  /** No answer in time, the process was killed: what it was given may be done or not. */
  | "timeout"
  | "unknown";

/** nft refused a script or could not be asked. The message is nft's own first line. */
export class NftError extends Error {
  readonly kind: NftErrorKind;

  constructor(kind: NftErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "NftError";
    this.kind = kind;
  }

  /** The same script may pass later, with nothing else changed. */
  shouldRetry(): boolean {
    return this.kind === "busy" || this.kind === "gone" || this.kind === "timeout" || this.kind === "full";
  }
}

/** In this order: a syntax error may quote any text. Wordings are nft's and the kernel's (errno(3)), the same in 1.0 and 1.1. */
const KINDS: readonly (readonly [RegExp, NftErrorKind])[] = [
  [/JSON support not compiled-in/i, "unusable"],
  [/syntax error|unexpected|Unknown|invalid|datatype mismatch|Could not resolve|Could not parse|conflicting/i, "syntax"],
  [/No such file or directory|does not exist/i, "missing"],
  [/File exists/i, "exists"],
  [/Device or resource busy|Resource temporarily unavailable|Interrupted system call/i, "busy"],
  [/Operation not permitted|Permission denied|must be root/i, "permission"],
  [/Too many open files in system|Message too long|No buffer space|Cannot allocate memory|No space left/i, "full"],
];

/** Longest message kept: nft quotes the script's line, which may be long. */
const MESSAGE_CHARACTERS = 400;

/** Reads what nft printed for a script that failed. The only place that knows nft's wording. */
export function readNftError(output: string): NftError {
  const line = /^.*Error: (.*)$/m.exec(output)?.[1] ?? output.trim().split("\n")[0] ?? "";
  const kind = KINDS.find(([pattern]) => pattern.test(line))?.[1] ?? "unknown";
  return new NftError(kind, line.slice(0, MESSAGE_CHARACTERS) || "nft failed without a word");
}
