/**
 * EC2's types on Nitro for Linux, without those for graphics, learning, supercomputers, Macs and the `u` families, as the AWS SDK for
 * JavaScript names them (@aws-sdk/client-ec2 3.1169.0, looked at on 2026-11-29): families, then the sizes that all of them have. i3 is
 * Nitro's as bare metal alone. A type that came later is not here: it is added when it is wanted.
 */
const TYPES: readonly (readonly [families: string, sizes: string])[] = [
  ["a1", "medium large xlarge 2xlarge 4xlarge metal"],
  ["c5 c5d", "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge metal"],
  ["c5a c5ad m5a m5ad r5a r5ad", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"],
  ["c5n", "large xlarge 2xlarge 4xlarge 9xlarge 18xlarge metal"],
  ["c6a m6a r6a", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge metal"],
  [
    "c6g c6gd c7g c7gd c7gn m6g m6gd m7g m7gd r6g r6gd r7g r7gd x2gd",
    "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge metal",
  ],
  ["c6gn", "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"],
  [
    "c6i c6id c6in i4i m6i m6id m6idn m6in r6i r6id r6idn r6in",
    "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge metal",
  ],
  ["c7a m7a r7a", "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge metal-48xl"],
  ["c7i i7i i8g m7i r7i", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge metal-24xl metal-48xl"],
  ["c7i-flex c8i-flex m7i-flex m8i-flex r8i-flex", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"],
  [
    "c8a c8g c8gb c8gd c8gn m8a m8g m8gb m8gd m8gn m9g m9gd r8a r8g r8gb r8gd r8gn x8g",
    "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge metal-24xl metal-48xl",
  ],
  [
    "c8i c8ib c8id c8in m8i m8ib m8id m8idb m8idn m8in r8i r8ib r8id r8idb r8idn r8in",
    "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge 96xlarge metal-48xl metal-96xl",
  ],
  ["c8ine m8ine", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge"],
  ["c9g c9gd r9g r9gd", "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge metal-48xl"],
  ["d3", "xlarge 2xlarge 4xlarge 8xlarge"],
  ["d3en", "xlarge 2xlarge 4xlarge 6xlarge 8xlarge 12xlarge"],
  ["i3", "metal"],
  ["i3en", "large xlarge 2xlarge 3xlarge 6xlarge 12xlarge 24xlarge metal"],
  ["i4g im4gn", "large xlarge 2xlarge 4xlarge 8xlarge 16xlarge"],
  ["i7ie i8ge", "large xlarge 2xlarge 3xlarge 6xlarge 12xlarge 18xlarge 24xlarge 48xlarge metal-24xl metal-48xl"],
  ["is4gen", "medium large xlarge 2xlarge 4xlarge 8xlarge"],
  ["m5 m5d m5dn m5n r5 r5b r5d r5dn r5n", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge metal"],
  ["m5zn z1d", "large xlarge 2xlarge 3xlarge 6xlarge 12xlarge metal"],
  ["m8azn", "medium large xlarge 3xlarge 6xlarge 12xlarge 24xlarge metal-12xl metal-24xl"],
  ["r7iz", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 32xlarge metal-16xl metal-32xl"],
  ["t3 t3a t4g", "nano micro small medium large xlarge 2xlarge"],
  ["t8i", "nano micro small medium"],
  ["x2idn", "16xlarge 24xlarge 32xlarge metal"],
  ["x2iedn", "xlarge 2xlarge 4xlarge 8xlarge 16xlarge 24xlarge 32xlarge metal"],
  ["x2iezn", "2xlarge 4xlarge 6xlarge 8xlarge 12xlarge metal"],
  ["x8aedz", "large xlarge 3xlarge 6xlarge 12xlarge 24xlarge metal-12xl metal-24xl"],
  ["x8i", "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge 64xlarge 96xlarge metal-48xl metal-96xl"],
];
const SIZES: ReadonlyMap<string, readonly string[]> = new Map(
  TYPES.flatMap(([families, sizes]) => families.split(" ").map((family) => [family, sizes.split(" ")] as const)),
);

export type Architecture = "amd64" | "arm64";

/** What is wrong with a type of instance for an architecture; null when nothing is. */
export function instanceProblem(type: string, architecture: Architecture): string | null {
  const [family = "", size = ""] = type.split(".");
  if (!/^[a-z][a-z0-9-]*\.[a-z0-9-]+$/.test(type)) return `${type} is no type of instance: it is written like m7g.large`;
  // On Xen, volumes have no name of their own to be mounted by.
  if (isXen(family)) return `${type} does not run on Nitro`;
  const sizes = SIZES.get(family);
  if (sizes === undefined) return `there is no family ${family} among those that are known to run this (infra/aws/instances.ts)`;
  const own = architectureOf(family);
  if (own !== architecture) return `${type} is ${own}, not ${architecture}`;
  if (sizes.includes(size)) return null;
  const metal = sizes.filter((one) => one.startsWith("metal")).map((one) => `${family}.${one}`);
  return size.startsWith("metal")
    ? `there is no ${type}; bare metal of ${family} is ${metal.join(", ") || "none"}`
    : `there is no ${type}; ${family} has ${sizes.join(", ")}`;
}

/** Graviton families have a g behind their generation: m7g, c7gn, x2gd; the first one was a1. */
const architectureOf = (family: string): Architecture => (/^(a1|[a-z]+\d+g[a-z]*)$/.test(family) ? "arm64" : "amd64");

const isXen = (family: string): boolean => /^(t[12]|m[1-4]|c[1-4]|r[34]|x1e?|i2|d2|h1|g[23]s?|p[23]|f1|hs1|cr1|cc2)$/.test(family);
