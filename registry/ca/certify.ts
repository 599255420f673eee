import { type CaRole, makeIntermediate } from "./authority.ts";
import type { Issuer } from "./certificate.ts";
import type { Signer } from "./signer.ts";

/**
 * The certificate of a CA below a root, PEM. Where the CA is a service it is given to it, or the one that it has under this root is taken.
 * @param root its certificate, PEM, and itself with its key
 * @throws KeyError | Problem signer_unavailable
 */
export async function certify(
  role: CaRole,
  root: { readonly certificate: string; readonly issuer: Issuer },
  { signer, now }: { readonly signer: Signer; readonly now: number },
): Promise<string> {
  const there = (await signer.service?.certificateUnder(root.certificate)) ?? null;
  if (there !== null) return there;
  const subject = (await signer.service?.subject()) ?? null;
  const certificate = await makeIntermediate(role, root.issuer, signer, now, subject);
  await signer.service?.install(certificate, root.certificate);
  return certificate;
}
