import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inNetns, type RunOptions, run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { CGROUPS, removeCgroups } from "./cgroups.ts";

const BOOT_MS = 180_000;
/** systemd-nspawn's exit status when the machine inside wants to be started again (--keep-unit). */
const REBOOTS = 133;

export interface MachineOptions {
  readonly name: string;
  /** Folder of the Debian below, which stays as it is, and one for what differs. */
  readonly image: string;
  readonly folder: string;
  /** Network namespace with the bridge br0. */
  readonly netns: string;
  readonly v4: string;
  readonly v6: string;
  /** Folder of packages, seen inside as /dist. */
  readonly dist: string;
}

/**
 * A Debian that boots with its own systemd, in systemd-nspawn(1) over an overlay: own network, mounts, processes and cgroups. It ends
 * with this process, also when that is killed.
 */
export class Machine implements AsyncDisposable {
  readonly options: MachineOptions;
  #child: ChildProcess | null = null;
  #ended: Promise<number | null> = Promise.resolve(null);
  #disposed = false;

  constructor(options: MachineOptions) {
    this.options = options;
  }

  get name(): string {
    return this.options.name;
  }

  get v4(): string {
    return this.options.v4;
  }

  get v6(): string {
    return this.options.v6;
  }

  /** Resolves when all that is to start has started. @throws TimeoutError with the end of its console */
  async boot(): Promise<void> {
    this.#start();
    await this.#booted(0);
  }

  /** Runs a shell script as root inside. @throws CommandError */
  async sh(script: string, options: RunOptions = {}): Promise<string> {
    return await run(this.inside(["sh", "-ec", script]), options);
  }

  /** A file inside as this machine finds it, a socket too. */
  path(inside: string): string {
    return `/proc/${this.#leader()}/root${inside}`;
  }

  /** The command as it runs inside. */
  inside(command: readonly string[]): readonly string[] {
    const namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"];
    const environment = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"];
    return ["nsenter", "--target", String(this.#leader()), ...namespaces, "--", ...environment, ...command];
  }

  /** Restarts it by its own systemd; resolves when it has booted again. */
  async reboot(): Promise<void> {
    const before = this.#leader();
    // A namespace that goes loses its tables before its devices, which answer for a moment; a machine that halts does not. So this one
    // stays until its device is away.
    const network = openSync(`/proc/${before}/ns/net`, "r");
    try {
      // The answer may not come through any more.
      await run(this.inside(["systemctl", "--no-block", "reboot"])).catch(() => {});
      await this.#booted(before);
    } finally {
      closeSync(network);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#child?.kill("SIGKILL");
    await this.#ended;
    await removeCgroups(this.name);
    await run(["rm", "-rf", this.options.folder]);
  }

  #start(): void {
    const { name, image, folder, netns, dist } = this.options;
    for (const part of ["upper", "work", "root"]) mkdirSync(join(folder, part), { recursive: true });
    const nspawn = [
      "systemd-nspawn",
      "--quiet",
      "--boot",
      "--register=no",
      "--keep-unit",
      "--link-journal=no",
      "--console=pipe",
      "--network-bridge=br0",
      `--machine=${name}`,
      `--bind-ro=${dist}:/dist`,
      `--directory=${folder}/root`,
    ];
    // Cgroups of its own: machines that shared one would see each other's services.
    const script = `
for c in ${CGROUPS.join(" ")}; do
  [ -w "$c/cgroup.procs" ] || continue
  mkdir -p "$c/${name}"; echo 0 >"$c/${name}/cgroup.procs"
done
mkdir -p /run/systemd; mount -t tmpfs tmpfs /run/systemd
mount -t overlay overlay -o lowerdir=${image},upperdir=${folder}/upper,workdir=${folder}/work ${folder}/root
exec "$@"`;
    const within = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"];
    const [program = "", ...words] = [
      ...["setpriv", "--pdeathsig", "KILL", "--"],
      ...inNetns(netns, [...within, "--", "sh", "-ec", script, "sh", ...nspawn]),
    ];
    const console = openSync(join(folder, "console"), "a");
    const child = spawn(program, words, { detached: true, stdio: ["ignore", console, console] });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once("error", () => resolve(null));
      child.once("exit", (code) => {
        if (code === REBOOTS && !this.#disposed) this.#start();
        else resolve(code);
      });
    });
  }

  async #booted(leaderBefore: number): Promise<void> {
    const what = `${this.name} to boot`;
    const up = async () => {
      const leader = this.#leader();
      if (leader === 0 || leader === leaderBefore) return undefined;
      const said = await run(this.inside(["systemctl", "is-system-running"])).catch((error: { stdout?: string }) => error.stdout ?? "");
      return /^(running|degraded)/.test(said) || undefined;
    };
    await waitFor(what, up, { timeoutMs: BOOT_MS, everyMs: 100 }).catch((cause: unknown) => {
      const console = readFileSync(join(this.options.folder, "console"), "utf8").slice(-2_000);
      throw new Error(`${what}: its console says ${console}`, { cause });
    });
  }

  /** Its first process, as this machine numbers it; 0 while there is none: unshare's child is nspawn, whose child it is. */
  #leader(): number {
    const childOf = (pid: number): number => {
      try {
        return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")[0]);
      } catch {
        return 0;
      }
    };
    const nspawn = childOf(this.#child?.pid ?? 0);
    return nspawn === 0 ? 0 : childOf(nspawn);
  }
}
