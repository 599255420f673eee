import { list, resourcesOf, type Synthesis } from "./synthesis.ts";

const HOURS_A_MONTH = 730;

/** USD, and where it was read. Null is what could not be looked up from here. */
interface Price {
  readonly monthly: number | null;
  readonly said: string;
}

const hourly = (usd: number, said: string): Price => ({ monthly: usd * HOURS_A_MONTH, said: `${usd} an hour, ${said}` });
/** A type of instance that is not in the list below; what depends on use alone. */
const unknown: Price = { monthly: null, said: "not in infra/aws/cost.ts" };
const byUse: Price = { monthly: null, said: "by use: the region's price list, times what the flow logs and load balancers count" };

const M7G_LARGE = 0.0816;
/** m7g.metal has 64 processors, m7g.large 2, and the family's prices follow them. */
const M7G_METAL = M7G_LARGE * 32;

const TABLE = "a table checked against instances.vantage.sh, 2026-07-28";
const APRIL = "a table checked against AWS's pages, April 2026";

/** On demand, Linux, us-east-1. AWS's own price lists could not be reached: these are what others wrote of them, on that day. */
const INSTANCES: Readonly<Record<string, Price>> = {
  "m7g.large": hourly(M7G_LARGE, "factualminds.com, 2026-06-17"),
  "m7g.metal": hourly(M7G_METAL, "computed: 32 × m7g.large"),
  "m7i.large": hourly(0.1008, TABLE),
  "t3a.small": hourly(0.0188, APRIL),
  "t4g.micro": hourly(0.0084, TABLE),
};
const PRICES = {
  balancer: hourly(0.0225, "awsnegotiations.com, 2025; traffic beside it"),
  nat: hourly(0.045, "cloudburn.io, 2026-02-24; traffic beside it"),
  address: hourly(0.005, "cloudburn.io, 2026-02-24"),
  endpoint: hourly(0.01, "infracost's recorded price list, undated; traffic beside it"),
  gigabyte: { monthly: 0.08, said: `0.08 a month, ${APRIL}; snapshots beside it` },
  privateCa: { monthly: 400, said: "400 a month, aws.amazon.com/private-ca/pricing, undated; up to 0.75 for each certificate beside it" },
  alarm: { monthly: 0.1, said: `0.10 a month, ${APRIL}` },
  zone: { monthly: 0.5, said: `0.50 a month, ${APRIL}; queries beside it` },
  key: { monthly: 1, said: "1 a month, aws.amazon.com/kms/pricing; requests beside it" },
  secret: { monthly: 0.4, said: "0.40 a month, hivebook.wiki" },
} as const satisfies Record<string, Price>;

export type CostRow = readonly [item: string, count: number, each: string, monthly: string];

/** What an environment costs in a month without traffic, as far as prices are known. The last row is the sum of those. */
export function costRows(synthesis: Synthesis): readonly CostRow[] {
  const count = (...types: readonly string[]): number => resourcesOf(synthesis, ...types).length;
  const instances = new Map<string, number>();
  for (const { fields } of resourcesOf(synthesis, "aws_instance")) {
    const type = String(fields.instance_type);
    instances.set(type, (instances.get(type) ?? 0) + 1);
  }
  const balancers = resourcesOf(synthesis, "aws_lb");
  const addresses = count("aws_eip") + balancers.reduce((sum, { fields }) => sum + list(fields.subnets).length, 0);
  const interfaces = resourcesOf(synthesis, "aws_vpc_endpoint").reduce((sum, { fields }) => sum + list(fields.subnet_ids).length, 0);
  const gigabytes = [
    ...resourcesOf(synthesis, "aws_ebs_volume").map(({ fields }) => Number(fields.size)),
    ...resourcesOf(synthesis, "aws_instance").map(({ fields }) =>
      Number((list(fields.root_block_device)[0] as { volume_size?: number }).volume_size),
    ),
  ].reduce((sum, size) => sum + size, 0);
  const items: readonly (readonly [string, number, Price])[] = [
    ...[...instances].map(([type, number]) => [`instance ${type}`, number, INSTANCES[type] ?? unknown] as const),
    ["network load balancer", balancers.length, PRICES.balancer],
    ["detailed monitoring of an instance", count("aws_instance"), unknown],
    ["NAT gateway", count("aws_nat_gateway"), PRICES.nat],
    ["public IPv4 address (NAT, and load balancers in each zone)", addresses, PRICES.address],
    ["KMS key", count("aws_kms_key"), PRICES.key],
    ["secret", count("aws_secretsmanager_secret"), PRICES.secret],
    ["interface endpoint in a zone", interfaces, PRICES.endpoint],
    ["GB of gp3", gigabytes, PRICES.gigabyte],
    ["private CA", count("aws_acmpca_certificate_authority"), PRICES.privateCa],
    ["alarm", count("aws_cloudwatch_metric_alarm"), PRICES.alarm],
    ["hosted zone of its own", count("aws_route53_zone"), PRICES.zone],
    ["flow logs, snapshots, data transfer, capacity units", 0, byUse],
  ];
  const shown = items.filter(([, number], index) => number > 0 || index === items.length - 1);
  const sum = shown.reduce((all, [, number, { monthly }]) => all + number * (monthly ?? 0), 0);
  return [
    ...shown.map(([item, number, { monthly, said }]): CostRow => [item, number, said, monthly === null ? "?" : dollars(number * monthly)]),
    ["**what is known of it**", 0, "", `**${dollars(sum)}**`],
  ];
}

const dollars = (usd: number): string => usd.toFixed(2);
