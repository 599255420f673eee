import { asError } from "../../lib/as-error.ts";
import { silentLog } from "../../lib/log.ts";
import { startNft } from "./child.ts";
import { NftError } from "./error.ts";

const TIMEOUT_MS = 10_000;

/** Asks whether nft can be used here. Changes nothing. @throws NftError when it cannot: permission, timeout or unusable */
export async function probeNft(): Promise<void> {
  try {
    await using _nft = await startNft({ log: silentLog, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (cause) {
    if (!(cause instanceof NftError)) throw new NftError("timeout", `nft does not answer (${asError(cause).message})`, { cause });
    throw cause.kind === "permission" ? cause : new NftError("unusable", cause.message, { cause });
  }
}
