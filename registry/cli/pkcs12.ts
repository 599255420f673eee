import { accessSync, constants, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { writeFileAtomic } from "../../lib/file.ts";
import { isPassword, MAX_PASSWORD, makePkcs12, type Pkcs12Parts } from "../../lib/pkcs12.ts";
import { Problem } from "../../lib/problem.ts";
import { UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { readFile } from "./tls.ts";

/** Options of every command that gets a certificate. */
export const PKCS12_OPTIONS = {
  pkcs12: { type: "string" },
  "pkcs12-password-file": { type: "string" },
} as const;

interface Values {
  readonly pkcs12?: string | undefined;
  readonly "pkcs12-password-file"?: string | undefined;
}

/** Where a PKCS #12 file is to go, and what it is to be locked with. */
export interface Pkcs12Target {
  readonly file: string;
  readonly password: string;
}

/**
 * Settled before anything is sent: who mistypes a password has spent nothing.
 * @returns null when none was asked for
 * @throws UsageError | Problem file_unwritable | file_unreadable | password_form
 */
export async function pkcs12Target(values: Values, io: Io): Promise<Pkcs12Target | null> {
  const { pkcs12, "pkcs12-password-file": passwordFile } = values;
  if (pkcs12 === undefined) {
    if (passwordFile !== undefined) throw new UsageError("--pkcs12-password-file goes with --pkcs12.");
    return null;
  }
  const file = resolve(pkcs12);
  assertWritable(file);
  const password = passwordFile === undefined ? await typed(file, io) : await readSecret(passwordFile, io);
  if (!isPassword(password)) throw new Problem(422, "password_form", `A password is one line of 1 to ${MAX_PASSWORD} characters.`);
  return { file, password };
}

/** Readable for its owner alone, whole or not at all. */
export function writePkcs12({ file, password }: Pkcs12Target, parts: Omit<Pkcs12Parts, "password">): void {
  writeFileAtomic(file, makePkcs12({ ...parts, password }), 0o600);
}

/** A file, or - for standard input; a line break at its end is not part of it. */
const readSecret = async (file: string, io: Io): Promise<string> =>
  (file === "-" ? await io.readInput() : readFile(file)).replace(/\r?\n$/, "");

async function typed(file: string, io: Io): Promise<string> {
  const password = await io.askSecret(`Password for ${file}: `);
  if (password === null) {
    throw new UsageError(
      "There is no terminal to ask for the password: give it with --pkcs12-password-file FILE, or - for standard input.",
    );
  }
  if ((await io.askSecret("Once more: ")) !== password) throw new Problem(422, "password_form", "The two passwords differ.");
  return password;
}

function assertWritable(file: string): void {
  const unwritable = (why: string, cause?: unknown): Problem =>
    new Problem(422, "file_unwritable", `Cannot write ${file}: ${why}.`, { cause });
  try {
    accessSync(dirname(file), constants.W_OK);
  } catch (cause) {
    throw unwritable("its folder is not there, or not to be written", cause);
  }
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) throw unwritable("it is a folder");
}
