import { hash } from "node:crypto";
import { request } from "node:https";
import { encodePem } from "../../lib/pem.ts";
import { type Identity, readIdentity } from "./identity.ts";

const TIMEOUT_MS = 30_000;
/** 100,000 entries are 5 MB. */
const MAX_CRL_BYTES = 64 << 20;

/**
 * A CRL that is too large for the feed, from control over mutual TLS, as PEM. The addresses are asked in turn.
 * @throws Error when none gives the list with that digest (SHA-256, lower-case hex)
 */
export async function fetchCrl(identity: Identity, id: string, sha256: string, signal: AbortSignal): Promise<string> {
  let last: unknown = null;
  for (const address of identity.addresses) {
    try {
      const der = await get(new URL(`/v1/crl/${encodeURIComponent(id)}.der`, address), identity, signal);
      if (hash("sha256", der) === sha256) return encodePem("X509 CRL", der);
      last = new Error(`${address} gives another list of ${id} than the feed told of`);
    } catch (error) {
      signal.throwIfAborted();
      last = error;
    }
  }
  throw last;
}

function get(url: URL, identity: Identity, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = {
      ...readIdentity(identity),
      minVersion: "TLSv1.3",
      agent: false,
      timeout: TIMEOUT_MS,
      signal,
    } as const;
    const asking = request(url, options, (response) => {
      if (response.statusCode !== 200) {
        asking.destroy(new Error(`${url.href} answers ${response.statusCode}`));
        return;
      }
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on("data", (part: Buffer) => {
        parts.push(part);
        bytes += part.length;
        if (bytes > MAX_CRL_BYTES) asking.destroy(new Error(`${url.href} gives more than ${MAX_CRL_BYTES} bytes`));
      });
      response.once("end", () => resolve(Buffer.concat(parts)));
      response.once("error", reject);
    });
    asking.once("timeout", () => asking.destroy(new Error(`${url.href} does not answer`)));
    asking.once("error", reject);
    asking.end();
  });
}
