import { REVOCATION_REASONS, type RevocationReason } from "../../lib/admin/api.ts";
import { UsageError } from "./command.ts";

/** @throws UsageError unless it is a reason of RFC 5280 §5.3.1 that is offered */
export function readReason(text: string): RevocationReason {
  const reason = REVOCATION_REASONS.find((known) => known === text);
  if (reason === undefined) throw new UsageError(`--reason is one of ${REVOCATION_REASONS.join(", ")}: '${text}' is not.`);
  return reason;
}
