import { execute } from "../../lib/exec.ts";
import { CUT_MARK } from "../../lib/service.ts";
import type { Flow } from "../target.ts";

/** Connections that one ss closes: the kernel takes a filter of 64 kB. */
const CLOSED_AT_A_TIME = 200;
const TIMEOUT_MS = 5_000;

/**
 * Ends connections that are cut, on this host, so that the kernel counts them no more for their source (`ct count`): it never hears that
 * their clients have gone. First the sockets at these ports (ss(8), --kill), whose program reads an error; their RST, which the gate
 * keeps from the wire, has it mark the entry in connection tracking. Then the entries that are marked (conntrack(8)): the RST ends them
 * itself only where the client had acknowledged everything. What is gone already is no fault.
 * @param within what these programs are started through, to act in another network namespace
 * @throws Error when ss or conntrack cannot do it; the system's error when one of them is not there
 */
export async function closeConnections(
  ports: ReadonlySet<number>,
  flows: readonly Flow[],
  signal: AbortSignal,
  within: readonly string[] = [],
): Promise<void> {
  const must = (words: readonly string[]) => done([...within, ...words], signal);
  const own = [...ports].map((port) => `sport = :${port}`).join(" or ");
  for (let at = 0; at < flows.length; at += CLOSED_AT_A_TIME) {
    const part = flows.slice(at, at + CLOSED_AT_A_TIME);
    const others = part.map(({ family, address, port }) => `dst = ${family === 4 ? address : `[${address}]`}:${port}`).join(" or ");
    await must(["ss", "--kill", "--tcp", "--numeric", "--no-header", `( ${own} ) and ( ${others} )`]);
  }
  for (const family of new Set(flows.map((flow) => flow.family)))
    await must(["conntrack", "--delete", "--family", `ipv${family}`, "--proto", "tcp", "--mark", `${CUT_MARK}`]);
}

async function done([program = "", ...words]: readonly string[], signal: AbortSignal): Promise<void> {
  const { code, output } = await execute(program, words, { timeoutMs: TIMEOUT_MS, signal });
  // conntrack ends with 1 when there was no entry, ss with 0 when the kernel refused.
  if (code === 0 ? !/^SOCK_DESTROY answers: /m.test(output) : /: 0 flow entries have been deleted/.test(output)) return;
  throw new Error(`${program} ended with ${code ?? "its time limit"}: ${output.trim().split("\n").at(-1)?.slice(0, 200)}`);
}
