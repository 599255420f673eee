/** RFC 7468 text of one DER value; ends in a line break. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("base64");
  let text = `-----BEGIN ${label}-----\n`;
  for (let at = 0; at < base64.length; at += 64) text += `${base64.slice(at, at + 64)}\n`;
  return `${text}-----END ${label}-----\n`;
}

/**
 * The bytes of the one PEM block with that label, strictly (RFC 7468 §3): no other block, no headers, canonical base 64.
 * @returns null when the text is anything else
 */
export function decodePem(label: string, text: string): Buffer | null {
  const match = /^\s*-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\r\n]+)\r?\n-----END \1-----\s*$/.exec(text);
  if (match === null || match[1] !== label || match[2] === undefined) return null;
  const base64 = match[2].replace(/[\r\n]/g, "");
  const bytes = Buffer.from(base64, "base64");
  return bytes.toString("base64") === base64 ? bytes : null;
}
