import { parseAddress } from "../../lib/ip.ts";
import type { Flow } from "../target.ts";
import type { Master } from "./master.ts";
import { flowKey } from "./sockets.ts";

/**
 * An open connection: address and port of its client, and the end of its certificate in whole seconds. Its number is there twice; a worker
 * with an earlier configuration has it once.
 */
const LINE = /\bkey=(\S+):(\d+)\|(\d+)(?:\|\d+)? use=(\d+) .*\bgpt0=(\d+)/;
/** Numbers that are asked for one by one; of more the whole table is read. */
const FEW = 8;
const SESSION = /^(0x[0-9a-f]+): proto=tcpv[46] src=(\S+):(\d+) /;

/** An open connection with a certificate. */
export interface Tracked {
  readonly flow: Flow;
  /** Of its certificate, whole seconds. */
  readonly end: number;
  readonly number: number;
}

/**
 * A worker's open connections with these numbers (`show table`, management.txt).
 * @throws MasterError
 */
export async function openConnections(
  master: Master,
  worker: number,
  numbers: ReadonlySet<number>,
  signal: AbortSignal,
): Promise<readonly Tracked[]> {
  if (numbers.size > FEW) return (await tracked(master, worker, "", signal)).filter(({ number }) => numbers.has(number));
  const found: Tracked[] = [];
  for (const wanted of numbers) found.push(...(await tracked(master, worker, ` data.gpt0 eq ${wanted}`, signal)));
  return found;
}

/** Those whose certificate ran out by a time in whole seconds. @throws MasterError */
export const overConnections = async (master: Master, worker: number, by: number, signal: AbortSignal): Promise<Flow[]> =>
  (await tracked(master, worker, "", signal)).filter(({ end }) => end <= by).map(({ flow }) => flow);

async function tracked(master: Master, worker: number, filter: string, signal: AbortSignal): Promise<Tracked[]> {
  const answer = await master.command(`show table connections${filter}`, { signal, worker });
  return answer.split("\n").flatMap((line) => {
    const [, address = "", port, end, uses, number] = LINE.exec(line) ?? [];
    // Entries outlive their connections for some seconds.
    const isOpen = uses !== undefined && uses !== "0";
    return isOpen ? [{ flow: { ...parseAddress(address), port: Number(port) }, end: Number(end), number: Number(number) }] : [];
  });
}

/**
 * Ends what these connections have under way at a worker; what is idle ends by itself, as it gets no packet through.
 * @throws MasterError
 */
export async function shutConnections(master: Master, worker: number, flows: readonly Flow[], signal: AbortSignal): Promise<void> {
  if (flows.length === 0) return;
  const wanted = new Set(flows.map(flowKey));
  const sessions = await master.command("show sess", { signal, worker });
  for (const line of sessions.split("\n")) {
    const [, id, address = "", port] = SESSION.exec(line) ?? [];
    if (id === undefined || !wanted.has(flowKey({ address, port: Number(port) }))) continue;
    // Gone already: that is what is wanted.
    await master.command(`shutdown session ${id}`, { signal, worker });
  }
}
