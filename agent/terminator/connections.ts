import { parseAddress } from "../../lib/ip.ts";
import type { Flow } from "../target.ts";
import type { Master } from "./master.ts";

/** An open connection, by the address and port of its client. */
const LINE = /\bkey=(\S+):(\d+) use=(\d+) /;
const SESSION = /^(0x[0-9a-f]+): proto=tcpv[46] src=(\S+):(\d+) /;

/**
 * A worker's open connections with these numbers (`show table`, management.txt).
 * @throws MasterError
 */
export async function openConnections(
  master: Master,
  worker: number,
  numbers: Iterable<number>,
  signal: AbortSignal,
): Promise<{ readonly number: number; readonly flow: Flow }[]> {
  const found: { readonly number: number; readonly flow: Flow }[] = [];
  for (const number of numbers) {
    const answer = await master.command(`show table connections data.gpt0 eq ${number}`, { signal, worker });
    for (const line of answer.split("\n")) {
      const [, address = "", port, uses] = LINE.exec(line) ?? [];
      // Entries outlive their connections for some seconds.
      if (uses !== undefined && uses !== "0") found.push({ number, flow: { ...parseAddress(address), port: Number(port) } });
    }
  }
  return found;
}

/** Ends what these connections have under way at a worker; what is idle ends by itself, as it gets no packet through. @throws MasterError */
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
