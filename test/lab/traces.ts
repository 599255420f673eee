import { readdirSync } from "node:fs";
import { commandLine, processIds } from "./command-line.ts";
import { run } from "./exec.ts";

/** Everything on this machine that bears a lab's name: namespaces, processes, folders, interfaces of the machine's own namespace. */
export async function traces(name: string): Promise<readonly string[]> {
  const namespaces = names("/run/netns").filter((netns) => netns.startsWith(`eos-${name}-`));
  const folders = ["/run/entityos-lab", "/var/lib/entityos-lab"].flatMap((root) =>
    names(root)
      .filter((folder) => folder === name)
      .map((folder) => `${root}/${folder}`),
  );
  const processes = processIds()
    .filter((pid) => pid !== process.pid)
    .map((pid) => `${pid} ${commandLine(pid)}`)
    .filter((line) => line.includes(`/entityos-lab/${name}/`) || line.includes(`/netns/eos-${name}-`));
  const links = (await run(["ip", "-o", "link"])).split("\n").filter((line) => /: (p\d+|br0)[@:]/.test(line));
  return [...namespaces, ...folders, ...processes, ...links];
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
