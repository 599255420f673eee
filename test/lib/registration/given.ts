import { parseCode } from "../../../lib/registration/code.ts";
import type { Submission } from "../../../lib/registration/submission.ts";

/** A code and what is signed with it, the same at every run. */
export const code = parseCode("ABCDE-FGH01-23456-789AB-CDEFG-HJKMN-PQRS8");
export const submission: Submission = {
  action: "register",
  registry: "register.example",
  signer: "code:ABCDEFGH",
  addresses: ["observed", "203.0.113.7/32"],
  csrDigest: null,
  deviceKey: null,
  nonce: "AAAAAAAAAAAAAAAAAAAAAA",
  time: 1_795_000_000_000,
};
