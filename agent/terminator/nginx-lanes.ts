import type { Lane } from "../../lib/service.ts";
import type { TerminatorConfig } from "../config.ts";
import type { Layout } from "./layout.ts";
import type { Directive } from "./nginx-config.ts";

/** What an application gets; anything else is refused before it. */
const METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS";
const ASK = "/entityos-authorize";
const SILENCE = "/entityos-silence";
const SPOKEN_OF_THE_GATE = ["Device", "Pattern", "Subject"] as const;
/** What nginx tells the agent of a request, and the application never sees. */
const TOLD_TO_THE_AGENT = {
  Source: "$remote_addr",
  // With this host's end: under a name of its own a configuration from before would pass on what the client says of it.
  Port: '"$remote_port $server_addr $server_port"',
  Verify: "$ssl_client_verify",
  Certificate: "$ssl_client_escaped_cert",
} as const;
/** What a client says of the hop, or of those before it. Other names that begin like these are the agent's to refuse. */
const TAKEN_AWAY = [
  ...["TE", "Trailer", "Proxy", "Proxy-Connection", "Keep-Alive", "Forwarded", "X-Real-IP", "HTTP2-Settings"],
  ...["Host", "Port", "Server", "Prefix", "Scheme", "Ssl", "By"].map((name) => `X-Forwarded-${name}`),
];

/** Not for the whole server: what nginx asks the agent passes there too. */
const APPLICATION: readonly Directive[] = [[`if ($request_method !~ ^(${METHODS})$)`, ["return 405;"]], "proxy_pass http://application;"];

/**
 * A lane. Chain, CRL and possession of the key are nginx's to check, everything else the agent's, at every request. Where a certificate
 * must be shown, whoever shows none that counts gets no HTTP byte, whatever else is wrong with the request.
 */
export function laneServer(lane: Lane, port: number, terminator: TerminatorConfig, layout: Layout): Directive {
  const strict = lane !== "ip";
  return [
    "server",
    [
      // Two sockets: one for both families would see IPv4 clients as mapped addresses.
      `listen 0.0.0.0:${port} ssl;`,
      `listen [::]:${port} ssl ipv6only=on;`,
      // A certificate that does not verify: the agent decides what it is worth.
      "error_page 495 = @application;",
      `error_page 497 ${SILENCE};`,
      ...(strict
        ? [`error_page 400 401 403 408 414 429 494 496 500 501 505 ${SILENCE};`, "error_page 405 = @method;", "error_page 413 = @size;"]
        : []),
      `limit_req zone=rates burst=${terminator.requestsPer10s} nodelay;`,
      `auth_request ${ASK};`,
      ...SPOKEN_OF_THE_GATE.map(
        (name) => `auth_request_set $entityos_${name.toLowerCase()} $upstream_http_x_entityos_${name.toLowerCase()};`,
      ),
      ...towardsApplication(lane),
      ["location /", APPLICATION],
      ["location @application", APPLICATION],
      [`location = ${ASK}`, askAgent(lane)],
      // RST, which the gate keeps from the wire, and no FIN.
      [
        `location = ${SILENCE}`,
        [
          "internal;",
          "error_page 404 = @application;",
          "auth_request off;",
          "reset_timedout_connection on;",
          // A body over the bound has an answer of its own, here too, and this location sends none. Nothing goes on from here, and what
          // asks for this very path meets the bound where the agent is asked.
          "client_max_body_size 0;",
          "return 444;",
        ],
      ],
      ...(strict ? [refusal("method", 405, layout), refusal("size", 413, layout)] : []),
    ],
  ];
}

/** Only the gate says who it is. A header whose value is empty is not sent on, nor is what the client sent under its name. */
function towardsApplication(lane: Lane): string[] {
  return [
    header("Host", "$http_host"),
    header("Upgrade", "$entityos_upgrade"),
    header("Connection", "$entityos_connection"),
    header("X-EntityOS-Lane", lane),
    ...SPOKEN_OF_THE_GATE.map((name) => header(`X-EntityOS-${name}`, `$entityos_${name.toLowerCase()}`)),
    ...Object.keys(TOLD_TO_THE_AGENT).map((name) => header(`X-EntityOS-${name}`, '""')),
    header("X-Forwarded-For", "$remote_addr"),
    header("X-Forwarded-Proto", "https"),
    ...TAKEN_AWAY.map((name) => header(name, '""')),
  ];
}

/** The agent sees the names of all headers, so that it can refuse what would speak as the gate, and none of what proves who a person is. */
function askAgent(lane: Lane): Directive[] {
  return [
    "internal;",
    // A client that asks for this very path asks the application.
    "error_page 404 = @application;",
    "auth_request off;",
    "proxy_pass http://agent/authorize;",
    "proxy_method GET;",
    "proxy_pass_request_body off;",
    // An agent that is not there refuses at once; one on a busy host is waited for, since no answer is a no.
    "proxy_connect_timeout 10s;",
    "proxy_read_timeout 10s;",
    "proxy_send_timeout 10s;",
    "proxy_next_upstream error;",
    header("Host", "agent"),
    header("Connection", '""'),
    header("Upgrade", '""'),
    ...["Content-Length", "Cookie", "Authorization", "Proxy-Authorization", "Range", "If-Range"].map((name) => header(name, '""')),
    header("X-EntityOS-Lane", lane),
    ...SPOKEN_OF_THE_GATE.map((name) => header(`X-EntityOS-${name}`, '""')),
    ...Object.entries(TOLD_TO_THE_AGENT).map(([name, value]) => header(`X-EntityOS-${name}`, value)),
    ...["X-Forwarded-For", "X-Forwarded-Proto", ...TAKEN_AWAY].map((name) => header(name, '""')),
  ];
}

/** A refusal that only those hear who were admitted: no file is there, so what is tried last is the answer. */
function refusal(name: string, status: number, layout: Layout): Directive {
  return [`location @${name}`, [`error_page 400 401 403 429 500 ${SILENCE};`, `root ${layout.folder};`, `try_files /none =${status};`]];
}

const header = (name: string, value: string): string => `proxy_set_header ${name} ${value};`;
