import { existsSync } from "node:fs";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";

/** Roots of the hierarchies that a systemd may live in: version 2, and the older ones beside it. */
export const CGROUPS = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"] as const;

/** Takes away the cgroups that a machine which ended left below this name, as soon as its last process is gone. */
export async function removeCgroups(name: string): Promise<void> {
  const folders = CGROUPS.map((root) => `${root}/${name}`);
  const script = 'for c in "$@"; do [ ! -d "$c" ] || find "$c" -depth -type d -exec rmdir {} ";" 2>/dev/null; done; true';
  await waitFor(`the cgroups of ${name} to be empty`, async () => {
    await run(["sh", "-c", script, "sh", ...folders]);
    return folders.every((folder) => !existsSync(folder)) || undefined;
  });
}
