import { HOURS_A_MONTH, type Item, LEAN, MEMORY } from "./price.ts";
import { list, resourcesOf, type Synthesis } from "./synthesis.ts";

/** What the worked example counts with, in a month; another use is another factor of its rows. */
export const USE = {
  /** Of each host, to its clients and from them. */
  servedGb: 500,
  takenGb: 50,
  /** New connections of each host, in a second on average. */
  connections: 5,
  /** Of each machine, through NAT: Debian's packages. */
  downloadedGb: 2,
  /** How much of the registry's volume is written, and how much of it changes in a day. */
  volumeShare: 0.5,
  changedGbADay: 1,
  /** Certificates that the device CA issues, where it is AWS's. */
  certificates: 100,
} as const;

/** The use in words. */
export const useSaid = `each host serves ${USE.servedGb} GB a month and takes ${USE.takenGb}, with ${USE.connections} new connections a second on average; each machine downloads ${USE.downloadedGb} GB; half of the registry's volume is written and ${USE.changedGbADay} GB of it changes in a day; 1 GB goes to each of AWS's services that has an endpoint.`;

/** A connection is a record at the load balancer and one at the host, both ways; each of them is some 140 bytes to CloudWatch. */
const RECORDS = 4;
const RECORD_BYTES = 140;
/** As AWS's own examples count stored logs. */
const COMPRESSED = 0.15;
const DAYS_A_MONTH = HOURS_A_MONTH / 24;

/** What use decides, for the use above. */
export function useItems(synthesis: Synthesis): readonly Item[] {
  const { network, registry } = synthesis.settings;
  const count = (type: string): number => resourcesOf(synthesis, type).length;
  const hosts = resourcesOf(synthesis, "aws_instance").filter(({ part }) => part === "restricted").length;
  const passing = hosts * (USE.servedGb + USE.takenGb);
  const zones = network.zones.length;
  const logged = (hosts * USE.connections * HOURS_A_MONTH * 3_600 * RECORDS * RECORD_BYTES) / 1e9;
  const kept = (logged * COMPRESSED * network.flowLogDays) / DAYS_A_MONTH;
  const days = (registry.snapshots.everyHours * registry.snapshots.keep) / 24;
  const copied = registry.volumeGb * USE.volumeShare + Math.round(days) * USE.changedGbADay;
  const endpoints = resourcesOf(synthesis, "aws_vpc_endpoint").filter(({ fields }) => list(fields.subnet_ids).length > 0).length;
  const items: readonly Item[] = [
    ["GB to clients (100 a month are free in an account; not taken off)", hosts * USE.servedGb, { monthly: 0.09, said: `0.09, ${LEAN}` }],
    [
      "capacity units of load balancers, by GB (one is 1 GB in an hour, or 800 new connections a second, of which there are fewer)",
      passing,
      { monthly: 0.006, said: "0.006, awsnegotiations.com, May 2026" },
    ],
    ["GB between zones, paid at both ends", (passing * (zones - 1)) / zones, { monthly: 0.02, said: `0.01 at each end, ${LEAN}` }],
    ["GB through NAT", count("aws_instance") * USE.downloadedGb, { monthly: 0.045, said: `0.045, ${LEAN}` }],
    ["GB through interface endpoints", endpoints, { monthly: 0.01, said: `0.01, ${LEAN}` }],
    ["GB of flow logs written", logged, { monthly: 0.5, said: `0.50, aws.amazon.com/cloudwatch/pricing, vended logs, ${MEMORY}` }],
    [
      `GB of flow logs kept ${network.flowLogDays} days`,
      kept,
      { monthly: 0.03, said: `0.03, aws.amazon.com/cloudwatch/pricing, ${MEMORY}` },
    ],
    [`GB of snapshots of ${Math.round(days)} days`, copied, { monthly: 0.05, said: `0.05, aws.amazon.com/ebs/pricing, ${MEMORY}` }],
    ["certificate of the private CA", count("aws_acmpca_certificate_authority") * USE.certificates, CERTIFICATE],
  ];
  return items.filter(([, number]) => number > 0);
}

const CERTIFICATE = { monthly: 0.75, said: `0.75, aws.amazon.com/private-ca/pricing, ${MEMORY}` };
