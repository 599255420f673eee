import { silentLog } from "../../lib/log.ts";
import { startNft } from "./child.ts";
import { NftError } from "./error.ts";

const TIMEOUT_MS = 10_000;

/** One sentence about why nft cannot be used here; null when it can. Changes nothing. */
export async function probeNft(): Promise<string | null> {
  try {
    await using _nft = await startNft({ log: silentLog, signal: AbortSignal.timeout(TIMEOUT_MS) });
    return null;
  } catch (error) {
    if (!(error instanceof NftError)) return `nft does not answer (${error instanceof Error ? error.message : String(error)})`;
    if (error.kind === "permission")
      return `nft may not change this network namespace: run as root, or with CAP_NET_ADMIN (${error.message})`;
    return `nft cannot be used here: install nftables 1.0 or newer with JSON, and coreutils for stdbuf (${error.message})`;
  }
}
