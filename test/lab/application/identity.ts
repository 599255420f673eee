import type { IncomingMessage } from "node:http";

/** Who sends a request, as the gate says. Only the gate reaches the socket, and it takes away what clients say under these names. */
export interface Caller {
  readonly lane: "ip" | "ipcert" | "roaming";
  /** From a certificate that counted at this very request; null where the address alone admitted. */
  readonly device: string | null;
  readonly source: string;
}

const DEVICE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Null when the gate's word is missing or is not of its form: then it was not the gate that sent it. */
export function callerOf({ headers }: IncomingMessage): Caller | null {
  const { "x-entityos-lane": lane, "x-entityos-device": device = null, "x-forwarded-for": source } = headers;
  if (lane !== "ip" && lane !== "ipcert" && lane !== "roaming") return null;
  if (typeof source !== "string" || !/^[0-9a-f.:]{2,45}$/.test(source)) return null;
  // Two of one name arrive joined, which fits no form.
  if (device !== null && (typeof device !== "string" || !DEVICE.test(device))) return null;
  if (lane !== "ip" && device === null) return null;
  return { lane, device, source };
}
