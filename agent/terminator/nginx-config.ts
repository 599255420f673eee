import { join } from "node:path";
import { LANES, PATH } from "../../lib/service.ts";
import { type AgentConfig, serviceKey } from "../config.ts";
import type { Layout } from "./layout.ts";
import { laneServer } from "./nginx-lanes.ts";

export type NginxSource = Pick<AgentConfig, "gate" | "terminator" | "runtimeDir">;

/** A directive, or a block of them under its first line. */
export type Directive = string | readonly [string, readonly Directive[]];

/** Descriptors that one client's connection needs: its own, one to the application, one to the agent. */
const DESCRIPTORS = 3;
/** Listeners, the probe's connections, kept connections to the agent. */
const RESERVED = 128;

/**
 * The whole configuration of nginx 1.22 or later: a server for each open lane, and nothing else that listens on the network but the probe
 * (docs/design.md, the gate). HTTP/1.1 alone: in HTTP/2 nginx speaks first, to strangers too.
 */
export function renderNginx(config: NginxSource, layout: Layout, revocations: boolean): string {
  const { gate, terminator, runtimeDir } = config;
  const lanes = LANES.filter((lane) => gate.lanes[lane]);
  const directives: Directive[] = [
    "daemon off;",
    // Of this generation, as what it says of its start: by that a reload tells whether it was taken.
    `pid ${layout.pid};`,
    `error_log ${layout.log} notice;`,
    "worker_processes auto;",
    // A worker that was replaced lets requests end, for this long.
    "worker_shutdown_timeout 60s;",
    "error_log stderr warn;",
    ["events", [`worker_connections ${terminator.maxConnections * DESCRIPTORS + RESERVED};`]],
    [
      "http",
      [
        ...common(config),
        ...temporaryFolders(layout),
        ...clients(config, layout, revocations),
        ["upstream application", [`server unix:${terminator.application};`]],
        ["upstream agent", [`server unix:${join(runtimeDir, PATH.authorizerSocketName)};`, "keepalive 64;", "keepalive_timeout 30s;"]],
        ...lanes.map((lane) => laneServer(lane, gate.listeners[lane], terminator, layout)),
        ...(gate.probe.networks.length > 0 ? [...probe(gate.probe.port, runtimeDir)] : []),
      ],
    ],
  ];
  return `${lines(directives, "").join("\n")}\n`;
}

function common({ terminator }: NginxSource): Directive[] {
  return [
    "server_tokens off;",
    "access_log off;",
    // Nothing that a client can cause fills the disk.
    "error_log stderr warn;",
    // What a client sends as X_EntityOS_… is dropped, and what has no proper name.
    "underscores_in_headers off;",
    "ignore_invalid_headers on;",
    "recursive_error_pages on;",
    // Neither requests nor answers wait on disk.
    "proxy_request_buffering off;",
    "proxy_buffering off;",
    "proxy_http_version 1.1;",
    "proxy_connect_timeout 5s;",
    "proxy_read_timeout 60s;",
    "proxy_send_timeout 60s;",
    // Nothing is asked of an application twice.
    "proxy_next_upstream off;",
    // 0 would be no limit.
    `client_max_body_size ${Math.max(1, terminator.maxBodyBytes)};`,
    ["map $http_upgrade $entityos_upgrade", ['default "";', "~*^websocket$ websocket;"]],
    ["map $entityos_upgrade $entityos_connection", ["default close;", "websocket upgrade;"]],
    // A source is an IPv4 address or an IPv6 /64.
    ["map $binary_remote_addr $entityos_source", ["default $binary_remote_addr;", '"~(?s)^(?<net64>.{8}).{8}\\z" $net64;']],
    `limit_req_zone $entityos_source zone=rates:10m rate=${terminator.requestsPer10s * 6}r/m;`,
    "limit_req_status 429;",
  ];
}

/** Nothing is written there, and nginx makes each at its start: those that it was built with are root's. */
const temporaryFolders = ({ folder }: Layout): Directive[] =>
  ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${join(folder, name)};`);

function clients({ terminator }: NginxSource, layout: Layout, revocations: boolean): Directive[] {
  return [
    "client_header_buffer_size 1k;",
    "large_client_header_buffers 4 8k;",
    "client_header_timeout 10s;",
    "client_body_timeout 60s;",
    "send_timeout 30s;",
    "keepalive_timeout 15s;",
    `ssl_certificate ${terminator.certificate};`,
    `ssl_certificate_key ${serviceKey(terminator)};`,
    "ssl_protocols TLSv1.2 TLSv1.3;",
    "ssl_early_data off;",
    // No session is resumed.
    "ssl_session_cache off;",
    "ssl_session_tickets off;",
    // `optional` needs ssl_client_certificate, which tells a stranger which CAs there are. This one verifies chain and CRLs as well.
    "ssl_verify_client optional_no_ca;",
    "ssl_verify_depth 4;",
    `ssl_trusted_certificate ${layout.authorities};`,
    ...(revocations ? [`ssl_crl ${layout.revocations};`] : []),
  ];
}

/** Answers a load balancer while the agent enforces; the firewall lets only named networks ask. */
const probe = (port: number, runtimeDir: string): Directive[] => [
  ["upstream health", [`server unix:${join(runtimeDir, PATH.agentSocketName)};`]],
  [
    "server",
    [
      `listen 0.0.0.0:${port};`,
      `listen [::]:${port} ipv6only=on;`,
      "proxy_intercept_errors on;",
      "error_page 400 403 404 500 502 503 504 =503 /entityos-not-ready;",
      [
        "location /",
        [
          "proxy_pass http://health/healthz;",
          "proxy_method GET;",
          "proxy_pass_request_headers off;",
          "proxy_pass_request_body off;",
          'proxy_set_header Content-Length "";',
          "proxy_set_header Host localhost;",
          "proxy_read_timeout 2s;",
        ],
      ],
      ["location = /entityos-not-ready", ["internal;", "default_type text/plain;", 'return 503 "not ready\\n";']],
    ],
  ],
];

function lines(directives: readonly Directive[], indent: string): string[] {
  return directives.flatMap((directive) =>
    typeof directive === "string"
      ? [`${indent}${directive}`]
      : [`${indent}${directive[0]} {`, ...lines(directive[1], `${indent}  `), `${indent}}`],
  );
}
