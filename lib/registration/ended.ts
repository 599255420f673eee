import { Problem } from "../problem.ts";

/** Told after a right proof only. @param reason null of a device that lives @throws Problem device_revoked | device_left */
export function assertDeviceLives(reason: "revoked" | "left" | null): void {
  if (reason === null) return;
  throw reason === "revoked"
    ? new Problem(403, "device_revoked", "This device was revoked: ask the operator for a new security code.")
    : new Problem(403, "device_left", "This device has left: register it anew with a security code.");
}
