import { asError } from "../lib/as-error.ts";
import { ConfigError } from "../lib/config.ts";
import { configRefusal, fileRefusal, type Refusal } from "../lib/file-refusal.ts";
import { EXIT } from "../lib/service.ts";
import { NftError } from "./nft/error.ts";
import { AlreadyRunningError } from "./status.ts";

/** Only root and the agent's own user may ask the agent. Null for any other error. */
export const forbidden = (error: unknown, socket: string): Refusal | null =>
  error instanceof Error && "code" in error && (error.code === "EACCES" || error.code === "EPERM")
    ? { text: `Not permitted to ask the agent on ${socket}: run as root`, exit: EXIT.permission }
    : null;

/** What an error means to who started the agent. */
export function refusalOf(error: unknown): Refusal {
  const text = asError(error).message;
  if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")) return { text, exit: EXIT.usage };
  if (error instanceof ConfigError) return configRefusal(error);
  if (error instanceof AlreadyRunningError) return { text, exit: EXIT.failed };
  if (error instanceof NftError && error.kind === "permission")
    return { text: `nft may not change this network namespace: run as root, or with CAP_NET_ADMIN (${text})`, exit: EXIT.permission };
  if (error instanceof NftError && error.kind === "unusable")
    return {
      text: `nft cannot be used here: install nftables 1.0 or newer with JSON, and coreutils for stdbuf (${text})`,
      exit: EXIT.unavailable,
    };
  if (error instanceof NftError && (error.kind === "timeout" || error.kind === "gone")) return { text, exit: EXIT.unavailable };
  const refusal = fileRefusal(error);
  if (refusal !== null) return { text: `${refusal.said}. ${refusal.hint}`, exit: refusal.exit === EXIT.data ? EXIT.config : refusal.exit };
  return { text, exit: EXIT.software };
}
