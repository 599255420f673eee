import { dirname, join } from "node:path";
import { LANES, type Lane, PATH } from "../../lib/service.ts";
import { type AgentConfig, mostOfSource } from "../config.ts";
import type { BindingLengths } from "./entries.ts";
import { admissionRules, certificateAcls, type LaneSource, sessionRules } from "./haproxy-lanes.ts";
import type { Layout } from "./layout.ts";

export type HaproxySource = Pick<AgentConfig, "gate" | "terminator" | "runtimeDir">;

export interface RenderOptions {
  readonly layout: Layout;
  readonly lengths: BindingLengths;
  /** There is a CRL: HAProxy takes no empty file. */
  readonly revocations: boolean;
}

/** Prefix lengths that are looked up from the start; every other one comes when it is first used. */
export const USUAL_LENGTHS: BindingLengths = { v4: [32], v6: [64, 128] };
/** Connections with a certificate that are kept track of, at least. */
const TRACKED = 100_000;
/** Replaced workers that may still serve; each has the maps in memory once more. */
const MAX_REPLACED = 6;
/**
 * What may be wrong with a CA in a lane that asks for certificates, for the handshake to go on: UNABLE_TO_GET_CRL, CRL_HAS_EXPIRED
 * (openssl-verify(1)), which the configuration decides on. Were more tolerated, OpenSSL would check the signatures of a chain that leads
 * nowhere: each client could choose how long it is, and what each costs.
 */
const TOLERATED = "3,12";
/** How long a socket waits for a client that acknowledges nothing: a connection that was cut does not stay. */
const DEAD_CLIENT_S = 30;
/** Of the hop inside HAProxy, beside its master's socket. */
const INNER_SOCKET_NAME = "inner.sock";
/** Digits of a length that is looked at as a number: a limit has 13 at most, and HAProxy's numbers end at 64 bits. */
const LENGTH_DIGITS = 15;
/** All but the tab, and the line ends between headers, as a regular expression of PCRE. */
const CONTROL_CHARACTERS = String.raw`[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]`;
/** What an application gets; anything else is refused before it. */
const METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS";

/**
 * The whole configuration of HAProxy 2.6 or later: a frontend for each open lane, and nothing else that listens on the network but the
 * probe (docs/design.md, the gate).
 */
export function renderHaproxy(config: HaproxySource, options: RenderOptions): string {
  const { gate, terminator } = config;
  const source: LaneSource = {
    terminator,
    layout: options.layout,
    lengths: options.lengths,
    roams: gate.lanes.roaming,
    most: (who) => mostOfSource(config, who),
  };
  const lanes = LANES.filter((lane) => gate.lanes[lane]);
  const sections = [
    ...preamble(config),
    ...lanes.map((lane) => laneFrontend(lane, gate.listeners[lane], source, options.revocations)),
    ...towardsApplication(config, lanes.length === 0 ? namedMaps(options.layout) : []),
    ...(gate.probe.networks.length > 0 ? [probe(gate.probe.port)] : []),
  ];
  return `${sections.map(([title, ...lines]) => [title, ...lines.map((line) => `  ${line}`)].join("\n")).join("\n\n")}\n`;
}

function preamble({ terminator }: HaproxySource): string[][] {
  const { maxConnections } = terminator;
  return [
    [
      "global",
      "log stdout format raw daemon",
      `maxconn ${maxConnections * 2}`,
      // A worker that was replaced lets requests end, for this long, and through so many reloads: large CRLs take one in ten seconds.
      "hard-stop-after 1h",
      `mworker-max-reloads ${MAX_REPLACED}`,
      "ssl-load-extra-del-ext",
      "ssl-default-bind-options no-tls-tickets ssl-min-ver TLSv1.2",
      // No session is resumed: a certificate that was revoked meanwhile would not be looked at again.
      "tune.ssl.cachesize 0",
      "tune.http.maxhdr 64",
    ],
    [
      "defaults",
      "mode http",
      "log global",
      "option dontlognull",
      // A worker that was replaced closes no connection by itself that may be about to ask: it says so with its last answer.
      "option idle-close-on-response",
      // Who serves closes what is idle too, and who asked just then would lose a request. nginx opens one for each request by itself.
      "option http-server-close",
      // No query: it may hold what is nobody's business.
      'log-format "%ci:%cp %ft %ST %B %Tr/%Ta %HM %HPO %[var(txn.device)]"',
      "timeout connect 5s",
      "timeout client 60s",
      "timeout client-fin 10s",
      "timeout server 60s",
      "timeout server-fin 10s",
      "timeout tunnel 1h",
      "timeout http-request 10s",
      "timeout http-keep-alive 15s",
      "timeout queue 10s",
    ],
    ["backend connections", `stick-table type string len 80 size ${Math.max(TRACKED, maxConnections * 2)} expire 10s store gpt0`],
    ["backend held", `stick-table type ipv6 size ${Math.max(TRACKED, maxConnections * 2)} expire 10s store conn_cur`],
    ["backend rates", "stick-table type ipv6 size 100k expire 20s store http_req_rate(10s),conn_cur"],
  ];
}

function laneFrontend(lane: Lane, port: number, source: LaneSource, revocations: boolean): string[] {
  const { terminator, layout } = source;
  const { maxBodyBytes, requestsPer10s } = terminator;
  // Never `ca-file`: it would tell a stranger which CAs there are.
  const verify = `verify optional ca-verify-file ${layout.authorities}${revocations ? ` crl-file ${layout.revocations}` : ""} crt-ignore-err all ca-ignore-err ${lane === "ip" ? "all" : TOLERATED}`;
  const tls = `name ${lane} ssl crt ${terminator.certificate} alpn h2,http/1.1 tcp-ut ${DEAD_CLIENT_S}s ${verify}`;
  return [
    `frontend ${lane}`,
    // Two sockets: one for both families would see IPv4 clients as mapped addresses.
    `bind 0.0.0.0:${port} ${tls}`,
    `bind [::]:${port} v6only ${tls}`,
    `maxconn ${terminator.maxConnections}`,
    // Before TLS, which may take a minute. A source that cannot be counted is over its bound.
    "tcp-request connection track-sc2 src,ipmask(32,64) table held",
    `tcp-request connection silent-drop unless { sc_conn_cur(2) le ${source.most(lane === "roaming" ? "roaming" : "perSource")} }`,
    ...certificateAcls(source),
    ...sessionRules(lane, source),
    "http-request track-sc1 src,ipmask(32,64) table rates",
    ...admissionRules(lane, source),
    `http-request deny deny_status 429 if { sc_http_req_rate(1) gt ${requestsPer10s} }`,
    // Tracked are requests: over HTTP/2 one connection holds a hundred under way, and all lanes share the inner hop.
    `http-request deny deny_status 429 unless { sc_conn_cur(1) le ${source.most("perSource")} }`,
    `http-request deny deny_status 405 unless { method ${METHODS} }`,
    // HAProxy passes them on in a value: RFC 9110, section 5.5.
    `http-request deny deny_status 400 if { req.hdrs -m reg '${CONTROL_CHARACTERS}' }`,
    // As a number a header is 32 bits wide, and 4294967296 is 0 then.
    `http-request deny deny_status 413 if { req.hdr(content-length) -m len gt ${LENGTH_DIGITS} } or { req.body_size gt ${maxBodyBytes} }`,
    ...identity(lane),
    "default_backend inner",
  ];
}

/** Only the gate says who it is; nothing that a client sends under such a name, or says of the hop, goes on. */
function identity(lane: Lane): string[] {
  const header = (name: string, field: string) => `http-request set-header X-EntityOS-${name} %[var(txn.${field})] if has_entry`;
  return [
    // Whatever stands between the words: some applications read every sign as one.
    "http-request del-header ^x[^a-z0-9]*entityos -m reg",
    "http-request del-header ^(x[^a-z0-9]*)?forwarded -m reg",
    "http-request del-header ^x[^a-z0-9]*real[^a-z0-9]*ip$ -m reg",
    "http-request del-header ^(te|trailer|proxy|proxy-connection|keep-alive|http2-settings)$ -m reg",
    // One of several would be enough, and another protocol passed beside it.
    "http-request set-header Upgrade websocket if { req.hdr(upgrade) -i websocket }",
    "http-request del-header upgrade unless { req.hdr(upgrade) -i websocket }",
    // Rebuilt: a client's list could have the next hop take away what the gate says.
    "http-request del-header connection",
    "http-request set-header Connection upgrade if { req.hdr(upgrade) -i websocket }",
    `http-request set-header X-EntityOS-Lane ${lane}`,
    header("Device", "device"),
    header("Pattern", "pattern"),
    header("Subject", "subject"),
    "http-request set-header X-Forwarded-For %[src]",
    "http-request set-header X-Forwarded-Proto https",
  ];
}

/**
 * A second hop inside HAProxy, through a socket that its own user alone may open: who speaks there speaks as the gate. What came over
 * HTTP/2 is HTTP/1.1 here, so that a body without a length shows as chunked: it could carry trailers, which an application may take for
 * headers, and is refused.
 */
function towardsApplication({ terminator, runtimeDir }: HaproxySource, maps: readonly string[]): string[][] {
  const hop = `unix@${join(dirname(terminator.masterSocket), INNER_SOCKET_NAME)}`;
  return [
    ["backend inner", `server inner ${hop} send-proxy-v2`],
    [
      "frontend inside",
      `bind ${hop} mode 600 accept-proxy`,
      `maxconn ${terminator.maxConnections}`,
      "option dontlog-normal",
      ...maps,
      // An answer before the body is there ends the hop while the lane still writes, which then may not read it.
      "http-request wait-for-body time 1s if { req.hdr(transfer-encoding) -m found }",
      'http-request return status 411 content-type text/plain string "a body needs a Content-Length\\n" if { req.hdr(transfer-encoding) -m found }',
      "default_backend application",
    ],
    [
      "backend application",
      "option httpchk",
      "http-check send meth HEAD uri / ver HTTP/1.1 hdr Host health.invalid hdr Connection close",
      "http-check expect rstatus ^[1-4]",
      // In another protocol nobody looks at what is asked any more.
      "http-response deny deny_status 502 if { status 101 } !{ res.hdr(upgrade) -i websocket }",
      "http-response deny deny_status 502 if { status 101 } { res.hdr_cnt(upgrade) gt 1 }",
      `server application unix@${terminator.application}`,
    ],
    [
      "backend agent",
      "option httpchk",
      "http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host localhost hdr Connection close",
      `server agent unix@${join(runtimeDir, PATH.agentSocketName)} check inter 2s fall 2 rise 1`,
    ],
  ];
}

/** The agent knows a worker's generation by its maps, and tells it of changes: with every lane off these lines alone load them. */
const namedMaps = ({ certificates, gone, bindings }: Layout): string[] =>
  [certificates, gone, bindings].map((file, number) => `acl map${number} str(none),map_str(${file}) -m found`);

/** Answers a load balancer while the agent enforces; the firewall lets only named networks ask. */
function probe(port: number): string[] {
  return [
    "frontend probe",
    `bind 0.0.0.0:${port}`,
    `bind [::]:${port} v6only`,
    "option dontlog-normal",
    'http-request return status 200 content-type text/plain string "ready\\n" if { nbsrv(agent) gt 0 }',
    'http-request return status 503 content-type text/plain string "not ready\\n"',
  ];
}
