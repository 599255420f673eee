import { cpus, release } from "node:os";
import { run } from "../lab/exec.ts";
import { table } from "../lab/terminal.ts";
import { type Measured, percentile } from "./stats.ts";

const HEAD = ["what", "n", "p50 ms", "p99 ms", "floor p50", "floor p99", "p50 ÷ floor", "p99 ÷ floor"] as const;

/** Lines that say where and when the numbers were taken. */
export async function describeMachine(): Promise<readonly string[]> {
  const nft = (await run(["nft", "--version"])).trim();
  const [cpu] = cpus();
  return [
    `date: ${new Date().toISOString().slice(0, 10)}`,
    `machine: ${cpus().length} cores (${cpu?.model.trim() ?? "unknown"}), Linux ${release()}`,
    `programs: ${nft}, Node ${process.versions.node}`,
  ];
}

export const resultTable = (results: readonly Measured[]): string => table(HEAD, results.map(cells), [1, 2, 3, 4, 5, 6, 7]);

/** docs/benchmarks.md as a whole. */
export function page(machine: readonly string[], results: readonly Measured[]): string {
  const row = (values: readonly string[]): string => `| ${values.join(" | ")} |\n`;
  return `# Benchmarks

Written by \`npm run bench\`; run it where you are, for other machines have other numbers. The ratios are what counts: each row is
measured beside its floor, the least that the same work can cost, in the same run and in turns.

${machine.map((line) => `- ${line}`).join("\n")}

${row(HEAD)}${row(HEAD.map((_, column) => (column === 0 ? "---" : "---:")))}${results.map((result) => row(cells(result))).join("")}
- **registration → admitted**: from the moment the POST is written to an open TLS connection until a packet of the registered address
  is let in, seen by connecting from it every millisecond; one agent, every program a process of its own, in the lab. Floor: one
  durable SQLite commit on the same disk plus one element added by a kept-open nft to a bare set as large.
- **… under N a second**: the same while another client registers other addresses, N of them in every second, over kept-open
  connections; N is what was accepted, 500 were asked for, and it has run for 5 s before the first sample. Under N certificates a second:
  each of those registrations has a certificate made, and 1,000 were asked for.
- **one change applied**: the agent's nftables target, called as its reconciler calls it, with the whole gate in place. Floor: a
  kept-open nft that adds one element to a bare hash set as large.
- **cold load**: a host without state, from its open feed until the registry's rules are in the kernel and on disk and acknowledged; the
  registry reads them from Storage meanwhile. Floor: \`nft -j -f\` with as many elements for a bare set, in a namespace of its own.
- **registrations**: so many at one time, IP only, over 64 kept-open connections of one other process, until the last is answered with
  201: both roles in one process, durable and concluded. Floor: fastify alone over the same TLS with a schema for the same body and one
  insert each, committed durably and in groups. It leaves out the check of a signature and all rows but one, so a second floor is told
  below: the same with one check of a signature and the rows that stay of a registration, in Storage's own tables by one prepared
  statement each; [decision 25](decisions/0025-one-check-of-one-proof.md) says where the difference goes.
- **fan-out**: from the moment that a change is durable until the last of the agents has it; agents are connections of one other process,
  over mutual TLS, and acknowledge. Floor: \`ws\` alone that sends the same message over the same TLS to as many.
- **certificates**: fifty for P-256 keys by a P-256 CA, on one core. Floor: as many bare signatures of \`node:crypto\`.
- **CRL**: from the wish for a list, with so many revoked certificates in Storage, until the new one is signed and stored there. Floor:
  digest and signature of as many bytes.
- **revoked → refused**: from the operator's request until the client got in for the last time, with one agent, and HAProxy where not
  nginx is named: the first packet of the last connection that opened, the last answer, or the last byte of a download. Floor: one element
  taken by a kept-open nft.
- **reloaded with certificates**: so many registered certificates given to HAProxy or nginx with a new generation of its configuration, as
  after a change of its CAs, until workers serve it. Floor: the same without any. The memory of it is told below.
${results.flatMap(({ note }) => (note === undefined ? [] : [`- ${note}\n`])).join("")}
## Figures from elsewhere

What users would take instead, measured on this kind of machine, not in this run: CrowdSec 1.4.6 with its nftables bouncer. From a
decision until it is in the kernel 8.8 s (median) as it polls by default, 0.77 s at its fastest; 62 s for 50,000 addresses.
`;
}

function cells({ what, samples, floor }: Measured): readonly string[] {
  const [p50, p99, floor50, floor99] = [
    percentile(samples, 0.5),
    percentile(samples, 0.99),
    percentile(floor, 0.5),
    percentile(floor, 0.99),
  ];
  const ms = (value: number) => value.toFixed(2);
  return [what, String(samples.length), ms(p50), ms(p99), ms(floor50), ms(floor99), (p50 / floor50).toFixed(1), (p99 / floor99).toFixed(1)];
}
