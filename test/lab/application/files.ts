import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

const MAX_FILE_BYTES = 64 << 20;
const MAX_FILES = 1_000;
const MAX_UPLOADS = 16;
/** No slash, and no dot in front: names of uploads under way begin with one. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export const isFileName = (name: string): boolean => NAME.test(name);

/** One folder of files for each person. A file is replaced whole or not at all, and read as it was when reading began. */
export class Files {
  readonly #folder: string;
  #uploads = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async list(person: string): Promise<string[]> {
    return (await readdir(await this.#of(person))).filter(isFileName).sort();
  }

  /** False when there is none. */
  async remove(person: string, name: string): Promise<boolean> {
    return rm(join(await this.#of(person), name)).then(
      () => true,
      () => false,
    );
  }

  /** Answers with the file, or the part that is asked for (RFC 9110 §13.1.2, §14). */
  async send(person: string, name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const handle = await open(join(await this.#of(person), name)).catch(() => null);
    if (handle === null) return void response.writeHead(404).end();
    await using file: FileHandle = handle;
    const { size, ino, mtimeNs } = await file.stat({ bigint: true });
    const [bytes, etag] = [Number(size), `"${ino.toString(36)}-${mtimeNs.toString(36)}"`];
    const { range, "if-range": ifRange = etag, "if-none-match": known = "" } = request.headers;
    const common = { etag, "accept-ranges": "bytes", "cache-control": "private, no-cache", "x-content-type-options": "nosniff" };
    if (known === "*" || known.split(/\s*,\s*/).includes(etag)) return void response.writeHead(304, common).end();
    const part = ifRange === etag ? partOf(range, bytes) : null;
    if (part === "beyond") return void response.writeHead(416, { ...common, "content-range": `bytes */${bytes}` }).end();
    const { start, end } = part ?? { start: 0, end: bytes - 1 };
    const said = part === null ? {} : { "content-range": `bytes ${start}-${end}/${bytes}` };
    const type = { "content-type": "application/octet-stream", "content-length": end - start + 1 };
    response.writeHead(part === null ? 200 : 206, { ...common, ...said, ...type });
    if (request.method === "HEAD" || bytes === 0) return void response.end();
    await pipeline(file.createReadStream({ start, end }), response);
  }

  /** Takes a file in. @returns the status to answer with: 201, or why not */
  async take(person: string, name: string, request: IncomingMessage): Promise<number> {
    const length = Number(request.headers["content-length"] ?? Number.NaN);
    if (Number.isNaN(length)) return 411;
    if (length > MAX_FILE_BYTES) return 413;
    if (this.#uploads >= MAX_UPLOADS) return 503;
    const names = await this.list(person);
    if (!names.includes(name) && names.length >= MAX_FILES) return 507;
    const folder = await this.#of(person);
    const temporary = join(folder, `.${randomUUID()}`);
    this.#uploads++;
    try {
      await using file = await open(temporary, "wx", 0o600);
      await file.writeFile(request);
      await file.sync();
      await rename(temporary, join(folder, name));
      await using parent = await open(folder);
      await parent.sync();
      return 201;
    } finally {
      this.#uploads--;
      await rm(temporary, { force: true });
    }
  }

  async #of(person: string): Promise<string> {
    const folder = join(this.#folder, person);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }
}

/** One range of bytes, ends included; null for the whole, which is also the answer to what is not understood. */
function partOf(range: string | undefined, size: number): { readonly start: number; readonly end: number } | "beyond" | null {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range ?? "") ?? [];
  if (first === "" && last === "") return null;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== "" && last !== "" && Number(last) < start) return null;
  return start >= size || end < start ? "beyond" : { start, end };
}
