import type { IncomingHttpHeaders } from "node:http";
import { ADMIN } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import type { Peer } from "./identity.ts";
import type { OwnNames } from "./names.ts";

/**
 * Whoever asks for another name was led here by it: a name of somebody else's that resolves to control.
 * @throws Problem host_unknown
 */
export function checkHost({ host }: IncomingHttpHeaders, peer: Peer, own: OwnNames): void {
  if (peer.kind === "socket" || own.isHost(host)) return;
  throw new Problem(421, "host_unknown", "Control is not called so: its configuration says how.");
}

/**
 * What a state change must show (invariant 10): it is not another site's page that speaks through an operator's browser.
 * @throws Problem cross_site | request_header
 */
export function checkOrigin(headers: IncomingHttpHeaders, peer: Peer, own: OwnNames): void {
  const { origin } = headers;
  const site = headers["sec-fetch-site"];
  // Nobody browses over the local socket, so whoever has an origin there was led there.
  const foreign = origin !== undefined && (peer.kind === "socket" || !own.isOrigin(origin));
  if (foreign || (site !== undefined && site !== "same-origin")) {
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
