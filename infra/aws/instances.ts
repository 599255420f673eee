/**
 * EC2's bare-metal types without Macs and those of the `u-` families, as the AWS SDK for JavaScript names them (@aws-sdk/client-ec2
 * 3.1169.0, looked at on 2026-11-24): family, then what follows the dot.
 */
const METAL: Readonly<Record<string, string>> = {
  metal:
    "a1 c5 c5d c5n c6a c6g c6gd c6i c6id c6in c7g c7gd c7gn g4dn g5g i3 i3en i4i m5 m5d m5dn m5n m5zn m6a m6g m6gd m6i m6id m6idn m6in m7g m7gd r5 r5b r5d r5dn r5n r6a r6g r6gd r6i r6id r6idn r6in r7g r7gd x2gd x2idn x2iedn x2iezn z1d",
  "metal-12xl": "m8azn x8aedz",
  "metal-16xl": "r7iz",
  "metal-24xl":
    "c7i c8a c8g c8gb c8gd c8gn i7i i7ie i8g i8ge m7i m8a m8azn m8g m8gb m8gd m8gn m9g m9gd r7i r8a r8g r8gb r8gd r8gn x8aedz x8g",
  "metal-32xl": "r7iz",
  "metal-48xl":
    "c7a c7i c8a c8g c8gb c8gd c8gn c8i c8ib c8id c8in c9g c9gd i7i i7ie i8g i8ge m7a m7i m8a m8g m8gb m8gd m8gn m8i m8ib m8id m8idb m8idn m8in m9g m9gd r7a r7i r8a r8g r8gb r8gd r8gn r8i r8ib r8id r8idb r8idn r8in r9g r9gd x8g x8i",
  "metal-96xl": "c8i c8ib c8id c8in m8i m8ib m8id m8idb m8idn m8in r8i r8ib r8id r8idb r8idn r8in x8i",
};

export type Architecture = "amd64" | "arm64";

/** What is wrong with a type of instance for an architecture; null when nothing is. */
export function instanceProblem(type: string, architecture: Architecture): string | null {
  const [family = "", size = ""] = type.split(".");
  if (!/^[a-z][a-z0-9-]*\.[a-z0-9-]+$/.test(type)) return `${type} is no type of instance: it is written like m7g.large`;
  const own = architectureOf(family);
  if (own !== architecture) return `${type} is ${own}, not ${architecture}`;
  // On Xen, volumes have no name of their own to be mounted by.
  if (isXen(family)) return `${type} does not run on Nitro`;
  if (size.startsWith("metal") && !(METAL[size] ?? "").split(" ").includes(family))
    return `there is no ${type}; bare metal of ${family} is ${metalOf(family).join(", ") || "none"}`;
  return null;
}

/** Graviton families have a g behind their generation: m7g, c7gn, x2gd; the first one was a1. */
const architectureOf = (family: string): Architecture => (/^(a1|[a-z]+\d+g[a-z]*)$/.test(family) ? "arm64" : "amd64");

const isXen = (family: string): boolean => /^(t[12]|m[1-4]|c[1-4]|r[34]|x1e?|i2|d2|h1|g[23]s?|p[23]|f1|hs1|cr1|cc2)$/.test(family);

const metalOf = (family: string): string[] =>
  Object.entries(METAL).flatMap(([size, families]) => (families.split(" ").includes(family) ? [`${family}.${size}`] : []));
