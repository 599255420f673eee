import { CERTIFIED_DSCP, type RuleLane } from "../../lib/service.ts";
import type { TerminatorConfig } from "../config.ts";
import type { BindingLengths } from "./entries.ts";
import type { Layout } from "./layout.ts";

export interface LaneSource {
  readonly terminator: TerminatorConfig;
  readonly layout: Layout;
  readonly lengths: BindingLengths;
  /** Certificates that admit from anywhere count in the lane `ipcert` too. */
  readonly roams: boolean;
  /** Connections and requests under way that one source may have. */
  readonly most: (who: "perSource" | "roaming") => number;
}

/** X509_V_OK, UNABLE_TO_GET_CRL, CRL_HAS_EXPIRED (openssl-verify(1)). */
const SOUND = { keep: "0 3 12", close: "0" } as const;

/**
 * Whether the client showed a certificate that counts: its chain is sound, and it is registered at this very moment. Each of OpenSSL's
 * three errors is asked for, since of several it tells the last alone: an expired CRL of one CA could hide a revocation by another.
 * The list of registered certificates decides on revocation in any case.
 */
export function certificateAcls({ terminator, layout }: LaneSource): string[] {
  const sound = SOUND[terminator.expiredCrl];
  return [
    `acl chain_sound ssl_c_verify ${sound}`,
    `acl leaf_sound ssl_c_err ${sound}`,
    `acl authority_sound ssl_c_ca_err ${sound}`,
    `acl registered var(sess.fingerprint),map_str(${layout.certificates}) -m found`,
    `acl gone var(sess.fingerprint),map_str(${layout.gone}) -m found`,
  ];
}

const CERTIFIED = "{ ssl_c_used } chain_sound leaf_sound authority_sound registered !gone";

/**
 * What happens once per connection, after the handshake. Who must show a certificate and shows none that counts gets nothing back.
 * Connections with a certificate are kept track of by number, for as long as they are open, so that revocation finds them.
 */
export function sessionRules(lane: "ip" | "ipcert" | "roaming", { layout }: LaneSource): string[] {
  return [
    "tcp-request session set-var(sess.fingerprint) ssl_c_der,sha2(256),hex if { ssl_c_used }",
    // Alerts and FIN without the mark do not leave the host. Two bits stand behind the code point.
    ...(lane === "ip" ? [] : [`tcp-request session silent-drop unless ${CERTIFIED}`, `tcp-request session set-tos ${CERTIFIED_DSCP << 2}`]),
    `tcp-request session set-var(sess.number) var(sess.fingerprint),map_str(${layout.certificates}),word(1,|) if ${CERTIFIED}`,
    `tcp-request session set-var(sess.ends) var(sess.fingerprint),map_str(${layout.certificates}),word(5,|) if { var(sess.number) -m found }`,
    "tcp-request session set-var(sess.port) src_port",
    // To two addresses of this host two connections may come from one port of a client.
    "tcp-request session set-var(sess.connection) src,concat(:,sess.port),concat(|,sess.ends),concat(|,sess.number)",
    "tcp-request session track-sc0 var(sess.connection) table connections if { var(sess.number) -m found }",
    "tcp-request session sc-set-gpt0(0) var(sess.number) if { var(sess.number) -m found }",
    // A connection that cannot be found again is not let in: the table is full.
    "tcp-request session silent-drop if { var(sess.number) -m found } !{ sc_tracked(0) }",
  ];
}

/**
 * What is asked at every request, since what was true when the connection opened may have ended: certificate, pattern, and for the
 * pattern `both` the device's own prefix.
 */
export function admissionRules(lane: "ip" | "ipcert" | "roaming", source: LaneSource): string[] {
  const entry = (field: string, number: number) => `http-request set-var(txn.${field}) var(txn.entry),word(${number},|) if has_entry`;
  return [
    // One that was registered only after its connection had opened counts from the next on: this one is not kept track of.
    `http-request set-var(txn.entry) var(sess.fingerprint),map_str(${source.layout.certificates}) if ${CERTIFIED} { var(sess.number) -m found }`,
    // By the host's clock, as OpenSSL does: the registry, which says so too, may be away.
    "http-request set-var(txn.now) date",
    "http-request set-var(txn.ends) var(txn.entry),word(5,|)",
    // Nor does an entry count that names no end: the rest of its line was lost with the host's power.
    "http-request unset-var(txn.entry) unless { var(txn.ends),sub(txn.now) gt 0 }",
    "acl has_entry var(txn.entry) -m found",
    entry("pattern", 2),
    entry("device", 3),
    entry("subject", 4),
    ...(lane === "ip" ? [] : ["http-request silent-drop unless has_entry"]),
    ...patternRules(lane, source),
  ];
}

function patternRules(lane: RuleLane | "roaming", source: LaneSource): string[] {
  // From an address that is not its device's, one of the pattern `both` counts for none, whoever else the address is granted to.
  if (lane === "ip") {
    const elsewhere = "{ var(txn.pattern) -m str both } !{ var(txn.bound) -m bool }";
    return [...bindingRules(source), ...["entry", "device"].map((name) => `http-request unset-var(txn.${name}) if ${elsewhere}`)];
  }
  const anywhere = "{ var(txn.pattern) -m str cert either }";
  if (lane === "roaming") return [`http-request silent-drop unless ${anywhere}`];
  return [...bindingRules(source), `http-request silent-drop unless { var(txn.bound) -m bool }${source.roams ? ` or ${anywhere}` : ""}`];
}

/** `both` counts only from a prefix that is granted to this very device, until it runs out. */
function bindingRules({ layout, lengths }: LaneSource): string[] {
  const look = (mask: string, length: number): string[] => [
    `http-request set-var(txn.network) src,ipmask(${mask})`,
    `http-request set-var(txn.until) var(txn.device),concat(|,txn.network,/${length}),map_str_int(${layout.bindings},0)`,
    "http-request set-var(txn.bound) bool(true) if { var(txn.until),sub(txn.now) gt 0 } { var(txn.pattern) -m str both }",
  ];
  return [
    ...lengths.v4.flatMap((length) => look(`${length},128`, length)),
    ...lengths.v6.flatMap((length) => look(`32,${length}`, length)),
  ];
}
