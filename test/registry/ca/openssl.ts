import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder for openssl to work in; gone when disposed. */
export function opensslFolder(): Disposable & {
  readonly path: string;
  /** Writes a file and gives its path. */
  write(name: string, data: string | Uint8Array): string;
  /** Runs openssl there: exit code 0 gives its output, another one throws it. */
  run(...args: string[]): Buffer;
  /** As `run`, with what it says on standard error behind its output. */
  runBoth(...args: string[]): string;
} {
  const path = mkdtempSync(join(tmpdir(), "eos-openssl-"));
  const run = (args: readonly string[]): { readonly stdout: Buffer; readonly stderr: Buffer } => {
    const done = spawnSync("openssl", args, { cwd: path, timeout: 20_000, maxBuffer: 64 * 1024 * 1024 });
    if (done.status !== 0) throw new Error(`openssl ${args[0]}: ${done.stdout}${done.stderr}`);
    return done;
  };
  return {
    path,
    write(name, data) {
      const file = join(path, name);
      writeFileSync(file, data, { mode: 0o600 });
      return file;
    },
    run: (...args) => run(args).stdout,
    runBoth: (...args) => {
      const { stdout, stderr } = run(args);
      return `${stdout}${stderr}`;
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}
