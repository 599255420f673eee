/** What a cache may know of something that is served: a strong ETag and when it was made, integer milliseconds. */
export interface Validators {
  readonly etag: string;
  readonly modified: number;
}

/** ETag and Last-Modified (RFC 9110 §8.8). */
export const validatorHeaders = ({ etag, modified }: Validators): Record<string, string> => ({
  etag: `"${etag}"`,
  "last-modified": new Date(modified).toUTCString(),
});

/** True when whoever asks has it already: If-None-Match decides where it is sent, else If-Modified-Since (RFC 9110 §13.2.2). */
export function isNotModified(headers: Readonly<Record<string, string | string[] | undefined>>, { etag, modified }: Validators): boolean {
  const match = headers["if-none-match"];
  if (typeof match === "string")
    return match.trim() === "*" || match.split(",").some((one) => one.trim().replace(/^W\//, "") === `"${etag}"`);
  const since = Date.parse(String(headers["if-modified-since"]));
  return Number.isFinite(since) && Math.floor(modified / 1_000) * 1_000 <= since;
}
