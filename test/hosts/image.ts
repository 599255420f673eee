import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../lab/exec.ts";

export const SUITES = ["bookworm", "trixie"] as const;
/** Debian 12 and Debian 13. */
export type Suite = (typeof SUITES)[number];

const CACHE = "/var/cache/entityos-hosts";
const TIMEOUT_MS = 1_800_000;
/** What a host has before anything of ours: a minimal Debian with SSH, the gate's tools, and what a test asks from inside. */
const INCLUDED = [
  "systemd",
  "systemd-sysv",
  "dbus",
  "openssh-server",
  "sudo",
  "nftables",
  "haproxy",
  "nginx",
  "conntrack",
  "iproute2",
  "curl",
  "ca-certificates",
];

/** Each host has a number of its own; nothing of a package's download is needed any more. All have one SSH key, which is no secret. */
const SETTLED = 'rm -f "$1"/var/cache/apt/archives/*.deb; : >"$1"/etc/machine-id';

/**
 * A fresh Debian of that suite, made with debootstrap(8) from its default mirror once and kept below /var/cache/entityos-hosts.
 * Two that make it at a time make it twice, and one is kept.
 * @throws CommandError when the mirror does not give it
 */
export async function baseImage(suite: Suite): Promise<string> {
  const recipe = createHash("sha256")
    .update(INCLUDED.join() + SETTLED)
    .digest("hex")
    .slice(0, 8);
  const name = `${suite}-${process.arch}-${recipe}`;
  const kept = join(CACHE, name);
  if (existsSync(kept)) return kept;
  mkdirSync(CACHE, { recursive: true });
  await sweep(name);
  const making = join(CACHE, `.${name}.${process.pid}`);
  try {
    // What it mounts goes with it, also when it is killed: below that nothing could be taken away.
    await run(["unshare", "--mount", "--", "debootstrap", "--variant=minbase", `--include=${INCLUDED.join(",")}`, suite, making], {
      timeoutMs: TIMEOUT_MS,
    });
    await run(["sh", "-ec", SETTLED, "sh", making]);
    if (existsSync(kept)) rmSync(making, { recursive: true });
    else renameSync(making, kept);
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    throw error;
  }
  return kept;
}

/** Takes away what killed runs left half made. */
async function sweep(name: string): Promise<void> {
  for (const entry of readdirSync(CACHE)) {
    const pid = entry.startsWith(`.${name}.`) ? entry.split(".").at(-1) : undefined;
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(CACHE, entry), { recursive: true, force: true });
  }
}
