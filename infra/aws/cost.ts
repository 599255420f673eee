import { useItems } from "./cost-use.ts";
import { APRIL, CLOUDBURN, hourly, type Item, MEMORY, type Price, TABLE } from "./price.ts";
import { block, list, resourcesOf, type Synthesis } from "./synthesis.ts";

/** A type of instance that is not in the list below. */
const unknown: Price = { monthly: null, said: "not in infra/aws/cost.ts" };

const M7G_LARGE = 0.0816;
/** m7g.metal has 64 processors, m7g.large 2, and the family's prices follow them. */
const M7G_METAL = M7G_LARGE * 32;

const INSTANCES: Readonly<Record<string, Price>> = {
  "m7g.large": hourly(M7G_LARGE, "factualminds.com, 2026-06-17"),
  "m7g.metal": hourly(M7G_METAL, "computed: 32 × m7g.large"),
  "m7i.large": hourly(0.1008, TABLE),
  "t3a.small": hourly(0.0188, APRIL),
  "t4g.micro": hourly(0.0084, TABLE),
};
const PRICES = {
  balancer: hourly(0.0225, "awsnegotiations.com, 2025"),
  nat: hourly(0.045, CLOUDBURN),
  address: hourly(0.005, CLOUDBURN),
  endpoint: hourly(0.01, "infracost's recorded price list, undated"),
  gigabyte: { monthly: 0.08, said: `0.08 a month, ${APRIL}` },
  privateCa: { monthly: 400, said: "400 a month, aws.amazon.com/private-ca/pricing, undated" },
  monitoring: { monthly: 2.1, said: `7 metrics at 0.30, aws.amazon.com/cloudwatch/pricing, ${MEMORY}` },
  alarm: { monthly: 0.1, said: `0.10 a month, ${APRIL}` },
  zone: { monthly: 0.5, said: `0.50 a month, ${APRIL}` },
  key: { monthly: 1, said: "1 a month, aws.amazon.com/kms/pricing" },
  secret: { monthly: 0.4, said: "0.40 a month, hivebook.wiki" },
} as const satisfies Record<string, Price>;

export type CostRow = readonly [item: string, count: string, each: string, monthly: string];

/** What an environment costs in a month: what stands, with its sum; what use decides, for one use, with its sum; both. */
export function costRows(synthesis: Synthesis): readonly CostRow[] {
  const [stands, used] = [standing(synthesis), useItems(synthesis)];
  return [
    ...stands.map(row),
    ["**what stands**", "", "", `**${dollars(sum(stands))}**`],
    ...used.map(row),
    ["**the use of the example**", "", "", `**${dollars(sum(used))}**`],
    ["**both**", "", "", `**${dollars(sum([...stands, ...used]))}**`],
  ];
}

function standing(synthesis: Synthesis): readonly Item[] {
  const count = (...types: readonly string[]): number => resourcesOf(synthesis, ...types).length;
  const instances = new Map<string, number>();
  for (const { fields } of resourcesOf(synthesis, "aws_instance")) {
    const type = String(fields.instance_type);
    instances.set(type, (instances.get(type) ?? 0) + 1);
  }
  const each = (type: string, field: string): number =>
    resourcesOf(synthesis, type).reduce((all, { fields }) => all + list(fields[field]).length, 0);
  const gigabytes = [
    ...resourcesOf(synthesis, "aws_ebs_volume").map(({ fields }) => Number(fields.size)),
    ...resourcesOf(synthesis, "aws_instance").map(({ fields }) => Number(block(fields.root_block_device).volume_size)),
  ].reduce((all, size) => all + size, 0);
  const items: readonly Item[] = [
    ...[...instances].map(([type, number]): Item => [`instance ${type}`, number, INSTANCES[type] ?? unknown]),
    ["network load balancer", count("aws_lb"), PRICES.balancer],
    ["detailed monitoring of an instance", count("aws_instance"), PRICES.monitoring],
    ["NAT gateway", count("aws_nat_gateway"), PRICES.nat],
    ["public IPv4 address (NAT, and load balancers in each zone)", count("aws_eip") + each("aws_lb", "subnets"), PRICES.address],
    ["KMS key", count("aws_kms_key"), PRICES.key],
    ["secret", count("aws_secretsmanager_secret"), PRICES.secret],
    ["interface endpoint in a zone", each("aws_vpc_endpoint", "subnet_ids"), PRICES.endpoint],
    ["GB of gp3", gigabytes, PRICES.gigabyte],
    ["private CA", count("aws_acmpca_certificate_authority"), PRICES.privateCa],
    ["alarm", count("aws_cloudwatch_metric_alarm"), PRICES.alarm],
    ["hosted zone of its own", count("aws_route53_zone"), PRICES.zone],
  ];
  return items.filter(([, number]) => number > 0);
}

const row = ([what, count, { monthly, said }]: Item): CostRow => [
  what,
  String(Math.round(count * 10) / 10),
  said,
  monthly === null ? "?" : dollars(count * monthly),
];

const sum = (items: readonly Item[]): number => items.reduce((all, [, count, { monthly }]) => all + count * (monthly ?? 0), 0);

const dollars = (usd: number): string => usd.toFixed(2);
