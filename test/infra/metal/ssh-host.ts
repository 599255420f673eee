import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../../infra/metal/settings.ts";
import { Ssh } from "../../../infra/metal/ssh.ts";

/** Where scripts of the metal stack write; a host of a test has its own. */
const OWN = ["/run", "/var/cache", "/var/lib"] as const;

const CONNECTION: Connection = { name: "web-1", address: "203.0.113.21", port: 22, user: "root", key: null, hostKey: "ssh-ed25519 AAAA" };

/**
 * A host for what is really sent to hosts: a program called ssh runs it here, with folders of its own in the place of the machine's. A
 * link is lost after as many bytes of standard input as a test says.
 */
export class SshHost implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "eos-ssh-"));
  readonly #path = process.env.PATH;
  readonly #links: Ssh[] = [];

  constructor() {
    for (const path of [...OWN, "/bin"]) mkdirSync(join(this.folder, path), { recursive: true });
    const mounts = OWN.map((path) => `mount --bind ${this.folder}${path} ${path}`).join("\n");
    this.program(
      "ssh",
      `printf '%s\\n' "$@" >${this.folder}/argv
for script; do :; done
export SSH_CONNECTION="203.0.113.5 40000 203.0.113.21 2222"
cut=$(cat ${this.folder}/cut 2>/dev/null) || cut=
here() { exec unshare --mount sh -ec '${mounts}
exec sh -c "$1"' sh "$script"; }
if [ -n "$cut" ]; then head -c "$cut" | here; else here; fi`,
    );
    process.env.PATH = `${this.folder}/bin:${this.#path}`;
  }

  /** A link to it, as one deploy has; the settings are in this folder. */
  link(connection: Partial<Connection> = {}, settings = "/nowhere"): Ssh {
    const ssh = new Ssh({ ...CONNECTION, ...connection }, join(settings, "metal.yaml"));
    this.#links.push(ssh);
    return ssh;
  }

  /** The next links are lost after so many bytes; null is never. */
  cutAfter(bytes: number | null): void {
    writeFileSync(join(this.folder, "cut"), bytes === null ? "" : String(bytes));
  }

  /** Gives it a program that runs this script. */
  program(name: string, script: string): void {
    const file = join(this.folder, "bin", name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  }

  /** A file of it, below one of its own folders or of the test; null when there is none. */
  read(path: string): string | null {
    const file = join(this.folder, path);
    return existsSync(file) ? readFileSync(file, "utf8") : null;
  }

  /** Words of the last call of ssh. */
  get words(): readonly string[] {
    return (this.read("argv") ?? "").split("\n");
  }

  [Symbol.dispose](): void {
    process.env.PATH = this.#path;
    for (const link of this.#links) link[Symbol.dispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
