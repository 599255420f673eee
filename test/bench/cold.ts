import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../lib/log.ts";
import { openSqliteStore } from "../../registry/store/sqlite.ts";
import { storageFile } from "../lab/configs.ts";
import { run } from "../lab/exec.ts";
import { paths } from "../lab/folder.ts";
import { startLab } from "../lab/lab.ts";
import { planLab } from "../lab/plan.ts";
import { findProcess } from "../lab/processes.ts";
import { agentOf, agentStatus } from "../lab/programs.ts";
import { waitFor } from "../lab/wait.ts";
import { MemoryWatch, processorMs } from "./memory.ts";
import { seededAddress, seedStorage } from "./seed.ts";
import type { Measured, Wish } from "./stats.ts";

const READY_TIMEOUT_MS = 300_000;
const LIFE_SECONDS = 86_400;
const MIB = 1 << 20;

/**
 * A host without state: from its open feed until the registry's rules are in the kernel and on disk, `samples` times. The floor:
 * `nft -j -f` with as many elements for a bare set, in a namespace of its own.
 */
export async function measureCold({ lab: name, elements, progress, signal }: Wish): Promise<Measured> {
  progress(`cold load, ${elements} elements`);
  const floor = await nftAlone(elements);
  const [host] = planLab({ name }).hosts;
  if (!host) throw new Error("the lab has no host");
  const { folder } = planLab({ name });
  using memory = new MemoryWatch(() => findProcess(folder, agentOf(host))?.pid);
  await using lab = await startLab({
    name,
    devices: 1,
    signal,
    readyTimeoutMs: READY_TIMEOUT_MS,
    async beforeServe(plan) {
      await using store = await openSqliteStore({ file: storageFile(plan), log: silentLog });
      await seedStorage(store, elements);
    },
  });
  const applied = await waitFor("the rules in the kernel", async () => {
    const status = await agentStatus(lab.plan, host);
    return status?.rules === elements && status.pending === 0 ? (status.lastApply ?? undefined) : undefined;
  });
  const log = readFileSync(paths(lab.plan).log(agentOf(host)), "utf8");
  const openedAt = Number(/"time":(\d+)[^\n]*"msg":"Feed open"/.exec(log)?.[1]);
  const what = `cold load, ${elements.toLocaleString("en-US")} elements`;
  const { process, nft } = memory.peak;
  const [agent, registry] = [agentOf(host), "registry"].map((program) => processorMs(findProcess(folder, program)?.pid ?? 0));
  const note = [
    `${what}: ${applied.tookMs.toFixed(0)} ms of it are the kernel's load; at most the agent held ${mib(process)} MiB and its nft ${mib(nft)} MiB;`,
    `processor since the start: agent ${agent?.own} ms, its nft ${agent?.children} ms, registry ${registry?.own} ms, floor ${floor.processorMs} ms`,
  ].join(" ");
  progress(`  ${note}`);
  return { what, samples: [applied.atMs - openedAt], floor: [floor.ms], note };
}

const mib = (bytes: number): string => (bytes / MIB).toFixed(0);

async function nftAlone(elements: number): Promise<{ readonly ms: number; readonly processorMs: number }> {
  const folder = mkdtempSync(join(tmpdir(), "eos-bench-"));
  try {
    const file = join(folder, "set.json");
    const family = { family: "inet", table: "bare" };
    const elem = Array.from({ length: elements }, (_, i) => ({ elem: { val: seededAddress(i), timeout: LIFE_SECONDS } }));
    const set = { ...family, name: "s", type: "ipv4_addr", flags: ["timeout"] };
    const commands = [
      { add: { table: { family: "inet", name: "bare" } } },
      { add: { set } },
      { add: { element: { ...family, name: "s", elem } } },
    ];
    writeFileSync(file, JSON.stringify({ nftables: commands }));
    // The last line of "times" is what the children took: user and system, such as 0m2.840000s.
    const command = `s=$(date +%s%N); nft -j -f ${file} && echo $((($(date +%s%N) - s) / 1000)); times`;
    const lines = (await run(["unshare", "--net", "sh", "-c", command], { timeoutMs: READY_TIMEOUT_MS })).trim().split("\n");
    const [micros, times = ""] = [lines[0], lines.at(-1)];
    const seconds = [...times.matchAll(/(\d+)m([\d.]+)s/g)].map(([, minutes, rest]) => Number(minutes) * 60 + Number(rest));
    return { ms: Number(micros) / 1_000, processorMs: Math.round(seconds.reduce((sum, one) => sum + one, 0) * 1_000) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
