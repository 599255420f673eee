import { signerUnavailable } from "../signer-unavailable.ts";
import { AwsError } from "./error.ts";

/** Whatever keeps a key from signing: lost, throttled, disabled, not permitted. @param what it is, for the log @throws Problem signer_unavailable */
export async function unavailable<T>(what: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (!(cause instanceof AwsError)) throw cause;
    throw signerUnavailable(new Error(`${what}: ${cause.message}`, { cause }));
  }
}
