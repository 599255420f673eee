import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Curled {
  readonly status: number;
  /** By lower-case name; of several the last. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Runs curl in a folder, as somebody would by hand. @throws unless it got an answer */
export function curl(folder: string, ...args: string[]): Promise<Curled> {
  const files = ["-D", "curl.headers", "-o", "curl.body", "-w", "%{http_code}"];
  return new Promise((resolve, reject) => {
    execFile("curl", ["-sS", "--max-time", "20", ...files, ...args], { cwd: folder }, (error, status, stderr) => {
      if (error !== null) {
        reject(new Error(`curl: ${stderr}`, { cause: error }));
        return;
      }
      const lines = readFileSync(join(folder, "curl.headers"), "latin1").split("\r\n").slice(1);
      const headers = lines.flatMap((line) => {
        const colon = line.indexOf(":");
        return colon < 0 ? [] : [[line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const];
      });
      // An answer without a body leaves the file of the one before.
      const body = Object.fromEntries(headers)["content-length"] === "0" ? Buffer.alloc(0) : readFileSync(join(folder, "curl.body"));
      resolve({ status: Number(status), headers: Object.fromEntries(headers), body });
    });
  });
}
