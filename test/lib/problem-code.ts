import { Problem } from "../../lib/problem.ts";

/** The stable code of the problem that `act` throws; anything else that it does fails the test. */
export function problemCode(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  throw new Error("nothing was refused");
}
