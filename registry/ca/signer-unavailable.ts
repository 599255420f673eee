import { Problem } from "../../lib/problem.ts";

/** A key that is kept elsewhere cannot be used at the moment. @param cause for the log: which key, and why */
export const signerUnavailable = (cause: unknown): Problem =>
  new Problem(
    503,
    "signer_unavailable",
    "The key that signs certificates cannot be used at the moment. Nothing was spent; try again later.",
    { cause },
  );

export const isSignerUnavailable = (error: unknown): boolean => error instanceof Problem && error.code === "signer_unavailable";
