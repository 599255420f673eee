import { parseAddress } from "../../lib/ip.ts";
import type { Flow } from "../target.ts";
import type { Master } from "./master.ts";

/** An open connection: address and port of its client, and the end of its certificate in whole seconds. */
const LINE = /\bkey=(\S+):(\d+)\|(\d+) use=(\d+) /;
const SESSION = /^(0x[0-9a-f]+): proto=tcpv[46] src=(\S+):(\d+) /;

/**
 * A worker's open connections with this number (`show table`, management.txt).
 * @throws MasterError
 */
export const openConnections = (master: Master, worker: number, number: number, signal: AbortSignal): Promise<Flow[]> =>
  tracked(master, worker, ` data.gpt0 eq ${number}`, Number.POSITIVE_INFINITY, signal);

/** Those whose certificate ran out by a time in whole seconds. @throws MasterError */
export const overConnections = (master: Master, worker: number, by: number, signal: AbortSignal): Promise<Flow[]> =>
  tracked(master, worker, "", by, signal);

async function tracked(master: Master, worker: number, filter: string, by: number, signal: AbortSignal): Promise<Flow[]> {
  const answer = await master.command(`show table connections${filter}`, { signal, worker });
  return answer.split("\n").flatMap((line) => {
    const [, address = "", port, end, uses] = LINE.exec(line) ?? [];
    // Entries outlive their connections for some seconds.
    return uses !== undefined && uses !== "0" && Number(end) <= by ? [{ ...parseAddress(address), port: Number(port) }] : [];
  });
}

/**
 * Ends what these connections have under way at a worker; what is idle ends by itself, as it gets no packet through.
 * @throws MasterError
 */
export async function shutConnections(master: Master, worker: number, flows: readonly Flow[], signal: AbortSignal): Promise<void> {
  if (flows.length === 0) return;
  const wanted = new Set(flows.map(({ address, port }) => `${address} ${port}`));
  const sessions = await master.command("show sess", { signal, worker });
  for (const line of sessions.split("\n")) {
    const [, id, address = "", port] = SESSION.exec(line) ?? [];
    if (id === undefined || !wanted.has(`${address} ${port}`)) continue;
    // Gone already: that is what is wanted.
    await master.command(`shutdown session ${id}`, { signal, worker });
  }
}
