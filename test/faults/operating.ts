import type { NewCode } from "../../lib/admin/api.ts";
import { Problem } from "../../lib/problem.ts";
import { generateCode } from "../../lib/registration/code.ts";
import type { Control } from "../../registry/cli/control.ts";
import { askControl, type Deed, Violation } from "./deeds.ts";
import type { KnownCode, KnownDevice, Model } from "./model.ts";

const CODE_LIFE_MS = 3_600_000;

/** A code is made. Repeated, it is told that the code exists: that settles it as well. */
export function makingCode(
  model: Model,
  control: Control,
  profile: string,
  uses: number,
): { readonly deed: Deed; readonly code: KnownCode } {
  const { text, selector, publicKey } = generateCode();
  const known: KnownCode = { text, selector, profile, uses, enrolled: 0, toldSpent: false, withdrawnAt: null, unsure: true };
  const body: NewCode = { selector, publicKey, subject: "faults", profile, uses, expiresAt: Date.now() + CODE_LIFE_MS };
  model.codes.set(selector, known);
  const deed: Deed = {
    what: `making of code ${selector}`,
    async ask() {
      const answer = await askControl(control, "POST", "/codes", body);
      if (answer === null) return false;
      if (answer instanceof Problem && answer.code !== "code_exists") throw new Violation(`${deed.what}: ${answer.code}`);
      known.unsure = false;
      return true;
    },
  };
  return { deed, code: known };
}

/** A code is withdrawn: from the answer on it enrols nobody. */
export function withdrawing(control: Control, code: KnownCode): Deed {
  code.unsure = true;
  return {
    what: `withdrawal of code ${code.selector}`,
    async ask() {
      const answer = await askControl(control, "DELETE", `/codes/${code.selector}`);
      if (answer === null) return false;
      if (answer instanceof Problem) throw new Violation(`${this.what}: ${answer.code}`);
      code.withdrawnAt = Date.now();
      return true;
    },
  };
}

/** A device is revoked: from the answer on nothing of it counts. */
export function revoking(control: Control, device: KnownDevice): Deed {
  device.unsure = true;
  return {
    what: `revocation of device ${device.id}`,
    async ask() {
      const answer = await askControl(control, "POST", `/devices/${device.id}/revoke`);
      if (answer === null) return false;
      if (answer instanceof Problem) throw new Violation(`${this.what}: ${answer.code}`);
      device.ended = true;
      device.unsure = false;
      return true;
    },
  };
}
