import type { ConfigError } from "./config.ts";
import { EXIT } from "./service.ts";

const NO_ROOM: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);
const NO_RIGHT: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS"]);

/** What an error means to who started the program: words, and the exit code. */
export interface Refusal {
  readonly text: string;
  readonly exit: number;
}

/** What the system said of a file or folder, what to do about it, and the exit code of a program that ends by it. */
export interface FileRefusal {
  /** The system's own words, with the path. */
  readonly said: string;
  readonly hint: string;
  readonly exit: number;
}

/**
 * A file or folder that the system refuses is no fault of a program's: whoever named it, or keeps it, mends it.
 * @returns null for any other error
 */
export function fileRefusal(error: unknown): FileRefusal | null {
  if (!(error instanceof Error && "path" in error && "syscall" in error && "code" in error) || typeof error.code !== "string") return null;
  const said = error.message;
  if (NO_ROOM.has(error.code)) return { said, hint: "Make room there, and run the same again.", exit: EXIT.failed };
  if (NO_RIGHT.has(error.code))
    return { said, hint: "Run as root or as the user that it belongs to, or name another place.", exit: EXIT.permission };
  return { said, hint: "Name another place.", exit: EXIT.data };
}

/** What a configuration that cannot be used means to who started the program, and its exit code. */
export function configRefusal({ message, cause }: ConfigError): Refusal {
  const refusal = fileRefusal(cause);
  if (refusal === null) return { text: message, exit: EXIT.config };
  if (refusal.exit === EXIT.permission) return { text: `${message}\n${refusal.hint}`, exit: EXIT.permission };
  return { text: `${message}\nName it with --config FILE.`, exit: EXIT.config };
}
