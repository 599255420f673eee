import { run } from "../lab/exec.ts";

/** Roots of the hierarchies that a systemd may live in: version 2, and the older ones beside it. */
export const CGROUPS = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"] as const;

/** Takes away the empty cgroups that a machine which ended left below this name. */
export async function removeCgroups(name: string): Promise<void> {
  const script = 'for c in "$@"; do [ ! -d "$c" ] || find "$c" -depth -type d -exec rmdir {} ";"; done';
  await run(["sh", "-c", script, "sh", ...CGROUPS.map((root) => `${root}/${name}`)]);
}
