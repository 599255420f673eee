import { type CertificateLife, endsSoon } from "../../lib/certificate-life.ts";
import type { Authority } from "../ca/authorities.ts";
import { readCrlState } from "../store/crls.ts";
import type { Builder, Command } from "../store/store.ts";
import { readMissing } from "./authorities.ts";

/** A list is renewed at half of its life; one that is still the newest this much later was not. */
const CRL_GRACE_MS = 60 * 60_000;
/** A service renews its list when it thinks right: an alarm is due when that is nearly too late. */
const SERVICE_SHARE = 7 / 8;
/** Time for a rotation, and for certificates of ninety days after it. */
const CA_NEAR_END_MS = 365 * 24 * 60 * 60_000;
/** A listener of the registry's, and how long its certificate counts. */
export interface ListenerFact extends CertificateLife {
  readonly role: "register" | "control";
}

/** What will lock somebody out unless it is looked at. */
export interface TrustAlarm {
  readonly alarm: "ca_missing" | "crl_missing" | "crl_old" | "crl_expired" | "ca_ends" | "server_certificate_ends" | "signer_unavailable";
  /** The CA's id, or the listener's role. */
  readonly subject: string;
  /** When it ends or ended; of a key, since when; of what is missing: now. Integer milliseconds. */
  readonly at: number;
}

const TEXT: Readonly<Record<TrustAlarm["alarm"], string>> = {
  ca_missing: "its files are not in the registry's pki folder: put them back, or rotate and retire it; seen",
  crl_missing: "has no list of revoked certificates, seen",
  crl_old: "its list of revoked certificates was not renewed; it ends",
  crl_expired: "its list of revoked certificates ended",
  ca_ends: "the CA ends",
  signer_unavailable: "its key cannot be used (the log tells why), since",
  server_certificate_ends: "the listener's certificate ends",
};

/** As an operator reads it. */
export const alarmText = ({ alarm, subject, at }: TrustAlarm): { readonly code: string; readonly text: string } => ({
  code: alarm,
  text: `${subject}: ${TEXT[alarm]} ${new Date(at).toISOString()}`,
});

/** What an operator must look at before somebody is locked out. Reads only. */
export function* trustAlarms(
  db: Builder,
  {
    authorities,
    listeners,
    now,
  }: { readonly authorities: readonly Authority[]; readonly listeners: readonly ListenerFact[]; readonly now: number },
): Command<TrustAlarm[]> {
  const alarms: TrustAlarm[] = [];
  for (const { ca } of yield* readMissing(db, authorities)) alarms.push({ alarm: "ca_missing", subject: ca, at: now });
  for (const { id, notAfter, issuer, service } of authorities) {
    const failingSince = service?.failingSince ?? issuer?.signer.failingSince ?? null;
    if (failingSince !== null) alarms.push({ alarm: "signer_unavailable", subject: id, at: failingSince });
    const list = yield* readCrlState(db, { ca: id });
    if (list === undefined || list.number === 0) alarms.push({ alarm: "crl_missing", subject: id, at: now });
    else if (now >= list.next_update) alarms.push({ alarm: "crl_expired", subject: id, at: list.next_update });
    else if (now >= list.this_update + (list.next_update - list.this_update) * (service === null ? 1 / 2 : SERVICE_SHARE) + CRL_GRACE_MS)
      alarms.push({ alarm: "crl_old", subject: id, at: list.next_update });
    if (notAfter - now < CA_NEAR_END_MS) alarms.push({ alarm: "ca_ends", subject: id, at: notAfter });
  }
  for (const { role, ...life } of listeners) {
    if (endsSoon(life, now)) alarms.push({ alarm: "server_certificate_ends", subject: role, at: life.notAfter });
  }
  return alarms;
}
