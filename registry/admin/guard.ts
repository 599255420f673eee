import type { IncomingHttpHeaders } from "node:http";
import { ADMIN } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import type { Peer } from "./identity.ts";

/**
 * What a state change must show (invariant 10): it is not another site's page that speaks through an operator's browser.
 * @throws Problem cross_site | request_header
 */
export function checkOrigin(headers: IncomingHttpHeaders, peer: Peer): void {
  const { origin, host } = headers;
  const site = headers["sec-fetch-site"];
  // Nobody browses over the local socket, so whoever has an origin there was led there.
  const own = peer.kind === "socket" ? undefined : `https://${host ?? ""}`;
  if ((origin !== undefined && origin !== own) || (site !== undefined && site !== "same-origin")) {
    throw new Problem(
      403,
      "cross_site",
      "A state change is accepted from the registry's own pages and from programs, not from another site.",
    );
  }
  if (headers[ADMIN.header] !== "1") {
    throw new Problem(403, "request_header", "A state change needs the header EntityOS-Request: 1.");
  }
}
