import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCode } from "../../lib/registration/code.ts";

const LOOK_EVERY_MS = 5;

/** A secret and the bytes that would betray it. */
export interface Secret {
  readonly name: string;
  readonly forms: readonly Buffer[];
}

/** A security code: as it is typed, in any case, what of it is secret, as HTTP Basic carries it, and the key that it seeds. */
export function secretsOfCode(name: string, code: string, user: string): readonly Secret[] {
  const plain = code.replaceAll("-", "");
  const secret = plain.slice(8, -1);
  const typed = [code, code.toLowerCase(), secret, secret.toLowerCase(), base64(code), base64(`${user}:${code}`)];
  const seed = Buffer.from(parseCode(code).privateKey.export({ format: "jwk" }).d ?? "", "base64url");
  return [
    { name, forms: typed.map((text) => Buffer.from(text)) },
    { name: `${name}'s proof key`, forms: keyForms(seed) },
  ];
}

/** A private key of a PEM file: its last line of 64 characters is the key's own, and of what follows the armour's start the bytes. */
export function secretOfKeyFile(file: string): Secret {
  const lines = readFileSync(file, "latin1").trim().split("\n").slice(1, -1);
  return { name: file, forms: [Buffer.from(lines.at(-2) ?? lines.join("")), Buffer.from(lines.join(""), "base64").subarray(-48)] };
}

/** Which secrets these bytes hold, by name. */
export const found = (secrets: readonly Secret[], bytes: Buffer): readonly string[] =>
  secrets.filter(({ forms }) => forms.some((form) => bytes.includes(form))).map(({ name }) => name);

/** Every file below the folders, with its bytes. */
export function filesBelow(...folders: readonly string[]): readonly (readonly [string, Buffer])[] {
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [file, readFileSync(file)] as const),
  );
}

/** Keeps every command line and environment that any process of this machine shows while it runs. */
export function watchProcesses(): Disposable & { readonly seen: ReadonlySet<string> } {
  const seen = new Set<string>();
  const look = () => {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && name !== String(process.pid)))
      for (const file of ["cmdline", "environ"]) seen.add(read(`/proc/${pid}/${file}`));
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  return { seen, [Symbol.dispose]: () => clearInterval(timer) };
}

function read(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

const keyForms = (raw: Buffer): readonly Buffer[] => [
  raw,
  ...(["hex", "base64", "base64url"] as const).map((encoding) => Buffer.from(raw.toString(encoding).replace(/=+$/, ""))),
];
