import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../lab/ports.ts";

const BIN = join(import.meta.dirname, "../../bin");

export interface Ended {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}

/** A program of ours as a child; what it prints is gathered. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  out = "";
  err = "";

  constructor(name: string, args: readonly string[]) {
    this.child = spawn(join(BIN, name), args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NOTIFY_SOCKET: "" } });
    this.child.stdout?.on("data", (data) => {
      this.out += data;
    });
    this.child.stderr?.on("data", (data) => {
      this.err += data;
    });
    this.ended = once(this.child, "close").then(([exit]) => ({ exit, out: this.out, err: this.err }));
  }

  /** The first line on standard output; rejects when the program ends without one. */
  async line(): Promise<string> {
    while (!this.out.includes("\n")) {
      const { stdout } = this.child;
      if (stdout === null) throw new Error("no output");
      await Promise.race([once(stdout, "data"), this.ended.then((end) => Promise.reject(new Error(`ended with ${end.exit}: ${end.err}`)))]);
    }
    return this.out.slice(0, this.out.indexOf("\n"));
  }

  /** Waits for a word of its log; rejects when the program ends without it. */
  async said(word: string): Promise<void> {
    const { stderr } = this.child;
    if (stderr === null) throw new Error("no log");
    while (!this.err.includes(word))
      await Promise.race([once(stderr, "data"), this.ended.then((end) => Promise.reject(new Error(`ended with ${end.exit}: ${end.err}`)))]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.ended;
  }
}

/** A configuration in a folder of its own for each test of one `describe`. */
export function registryScene() {
  let folder: string;
  let config: string;
  let ports: { register: number; control: number };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "eos-registry-"));
    config = join(folder, "registry.yaml");
    ports = { register: await freePort(), control: await freePort() };
    writeFileSync(
      config,
      `name: register.example
stateDir: ${folder}/state
runtimeDir: ${folder}/run
register: { address: 127.0.0.1, port: ${ports.register}, names: [localhost] }
control: { address: 127.0.0.1, port: ${ports.control}, names: [localhost] }
`,
    );
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function run(...args: string[]): Promise<Ended> {
    await using program = new Program("entityos-registry", args);
    return await program.ended;
  }
  const contents = (): Record<string, string> =>
    Object.fromEntries(readdirSync(join(folder, "state/pki")).map((name) => [name, readFileSync(join(folder, "state/pki", name), "utf8")]));

  return {
    run,
    contents,
    get folder() {
      return folder;
    },
    get config() {
      return config;
    },
    get ports() {
      return ports;
    },
  };
}
