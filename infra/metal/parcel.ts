/** A file of a parcel is at most this long. */
const MAX_FILE = 64 * 1024;
const PEM = /^(-----BEGIN (CERTIFICATE REQUEST|CERTIFICATE)-----\n[A-Za-z0-9+/=\n]{1,32768}-----END \2-----\n)+$/;

/**
 * Files in one text, each behind a line with its name. What one host hands to another is unpacked as text of known names, never as an
 * archive: a host that was broken into must not write where it likes at the registry.
 */
export const parcelOf = (files: Readonly<Record<string, string>>): string =>
  Object.entries(files)
    .map(([name, text]) => `= ${name}\n${text}`)
    .join("");

/** Shell: writes the parcel of standard input into the current folder. */
export const UNPACK = `awk '/^= /{file = $2; next} {print > file}'`;

/** Shell: says the files $files of the folder $folder, those that are there, as a parcel. */
export const PACK = `for file in $files; do [ ! -f "$folder/$file" ] || { echo "= $file"; cat -- "$folder/$file"; }; done`;

/**
 * Reads a parcel of certificates or requests.
 * @param needed every name that must be there, and none else may
 * @throws Error that names the file which is missing, is one too many, or is no PEM
 */
export function openParcel(text: string, needed: readonly string[]): Readonly<Record<string, string>> {
  const [before = "", ...parts] = text.replaceAll("\r", "").split(/^= /m);
  if (before !== "") throw new Error("something stands before the first file");
  const files = new Map<string, string>();
  for (const part of parts) {
    const end = part.indexOf("\n");
    const [name, content] = [part.slice(0, end), part.slice(end + 1)];
    const known = needed.find((one) => one === name);
    if (known === undefined || files.has(known)) throw new Error("a file too many");
    if (content.length > MAX_FILE || !PEM.test(content)) throw new Error(`${known} is not PEM of certificates or requests`);
    files.set(known, content);
  }
  const missing = needed.find((name) => !files.has(name));
  if (missing !== undefined) throw new Error(`${missing} is missing`);
  return Object.fromEntries(files);
}
