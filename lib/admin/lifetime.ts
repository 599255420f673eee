/** Bounds of what a profile grants. */
export const LIFETIME = {
  address: { minMs: 1_000, maxMs: 366 * 86_400_000 },
  certificate: { minMs: 3_600_000, maxMs: 90 * 86_400_000 },
} as const;
