import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const LIB = join(import.meta.dirname, "../../lib");

/** A small program over the library, in a process of its own: `ready` is its first line of output, `ended` how it ended. */
export interface Program {
  readonly process: ChildProcess;
  readonly ready: Promise<string>;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

/** @param code an ES module; `lib:NAME` in an import is that file of the library */
export function startProgram(code: string, env: NodeJS.ProcessEnv = process.env): Program {
  const source = code.replace(/"lib:([\w/-]+)"/g, (_, name: string) => JSON.stringify(join(LIB, `${name}.ts`)));
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], { env, timeout: 25_000, killSignal: "SIGKILL" });
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].on("data", (chunk: Buffer) => {
      said[stream] += String(chunk);
    });
  }
  return {
    process: child,
    ready: once(child.stdout, "data").then(([chunk]) => String(chunk).trim()),
    ended: once(child, "close").then(([code]) => ({ code: code as number | null, ...said })),
  };
}
