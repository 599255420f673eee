import { join } from "node:path";
import { ConfigError } from "../lib/config.ts";
import { credentialPath } from "../lib/credentials.ts";
import type { Refusal } from "../lib/file-refusal.ts";
import type { Log } from "../lib/log.ts";
import { createMetrics } from "../lib/metrics.ts";
import { EXIT, PATH } from "../lib/service.ts";
import { hangupBell, stopSignal } from "../lib/signals.ts";
import { VERSION } from "../lib/version.ts";
import { type AgentConfig, loadAgentConfig } from "./config.ts";
import { credentialProblems } from "./credentials.ts";
import { identityEnd, identityOf } from "./feed/identity.ts";
import { checkGate } from "./nft/check.ts";
import { renderGate } from "./nft/gate.ts";
import { Ground } from "./nft/ground.ts";
import { probeNft } from "./nft/probe.ts";
import { removeGate } from "./nft/target.ts";
import { forbidden, refusalOf } from "./refusal.ts";
import { loaded } from "./reload.ts";
import { runAgent } from "./run.ts";
import { doubts, serviceProblems } from "./service-doubts.ts";
import { type AgentStatus, queryStatus, tellAccept } from "./status.ts";
import { renderHaproxy, USUAL_LENGTHS } from "./terminator/haproxy-config.ts";
import { currentLink, layoutOf } from "./terminator/layout.ts";
import { renderNginx } from "./terminator/nginx-config.ts";

const CHECK_TIMEOUT_MS = 10_000;

/** Runs until SIGTERM or SIGINT, and reads its configuration again at SIGHUP; a second signal half a second later or more ends the process at once. */
export async function run(file: string, log: Log): Promise<number> {
  const config = checkedConfig(file);
  using stop = stopSignal();
  using hangups = hangupBell();
  try {
    const reloads = { bell: hangups.bell, load: () => loaded(checkedConfig(file)) };
    await runAgent({
      loaded: loaded(config),
      version: VERSION,
      log,
      signal: stop.signal,
      reloads,
      metrics: createMetrics({ process: true }),
    });
    return EXIT.ok;
  } catch (error) {
    log.error({ err: error }, "The agent cannot go on; the gate stays as it is");
    return refusalOf(error).exit;
  }
}

/** Says all that is wrong, or that nothing is. */
export async function check(file: string): Promise<number> {
  const config = checkedConfig(file, Date.now());
  await probeNft();
  await checkGate(config, [], { timeoutMs: CHECK_TIMEOUT_MS, signal: new AbortController().signal }).catch((cause: unknown) => {
    throw new ConfigError(file, [`gate: nft does not take it: ${cause instanceof Error ? cause.message : String(cause)}`], cause);
  });
  process.stdout.write(`${file} is usable: agent '${config.name}', zone ${config.zone}\n`);
  for (const doubt of doubts(config, Date.now())) process.stderr.write(`entityos-agent: warning: ${doubt}\n`);
  return EXIT.ok;
}

export async function status(file: string, json: boolean): Promise<number> {
  const config = loadAgentConfig(file);
  const socket = join(config.runtimeDir, PATH.agentSocketName);
  let answer: AgentStatus;
  try {
    answer = await queryStatus(socket);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const refusal = forbidden(error, socket);
    if (refusal !== null) return refused(refusal);
    process.stderr.write(
      `entityos-agent: No agent answers on ${socket} (${reason}). Is it running? Try: systemctl status entityos-agent\n`,
    );
    return EXIT.unavailable;
  }
  process.stdout.write(json ? `${JSON.stringify(answer)}\n` : table(answer));
  return EXIT.ok;
}

const RENDERED: ReadonlySet<string> = new Set(["nft", "haproxy", "nginx"]);

/** Prints what the agent would install: its nftables tables, or the terminator's configuration as it stands without any trust. */
export function render(file: string, what: string | undefined): number {
  if (what === undefined || !RENDERED.has(what)) {
    process.stderr.write("entityos-agent: render what? Known are: nft, haproxy, nginx\n");
    return EXIT.usage;
  }
  const config = loadAgentConfig(file);
  switch (what) {
    case "nft":
      process.stdout.write(renderGate(config));
      return EXIT.ok;
    case "haproxy":
      process.stdout.write(
        renderHaproxy(config, { layout: layoutOf(currentLink(config.stateDir), "haproxy"), lengths: USUAL_LENGTHS, revocations: true }),
      );
      return EXIT.ok;
    default:
      process.stdout.write(renderNginx(config, layoutOf(currentLink(config.stateDir), "nginx"), true));
      return EXIT.ok;
  }
}

const EPOCH = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A local operator's word that epoch, revision and CRL numbers may go back, once, by a snapshot of this epoch. */
export async function accept(file: string, epoch: string | undefined): Promise<number> {
  if (epoch === undefined) {
    process.stderr.write("entityos-agent: accept which epoch? It stands in the agent's log and in 'entityos status' at the registry\n");
    return EXIT.usage;
  }
  if (!EPOCH.test(epoch)) {
    process.stderr.write(`entityos-agent: '${epoch}' is no epoch: it is a UUID, as 'entityos status' tells it at the registry\n`);
    return EXIT.usage;
  }
  const socket = join(loadAgentConfig(file).runtimeDir, PATH.agentSocketName);
  try {
    const { held } = await tellAccept(socket, epoch);
    process.stdout.write(
      `The next snapshot of epoch ${epoch} takes the place of revision ${held.revision} of epoch ${held.epoch ?? "none"}, whatever goes back by it.\n`,
    );
    return EXIT.ok;
  } catch (error) {
    const refusal = forbidden(error, socket);
    if (refusal !== null) return refused(refusal);
    process.stderr.write(
      `entityos-agent: The agent on ${socket} did not take it (${error instanceof Error ? error.message : String(error)})\n`,
    );
    return EXIT.unavailable;
  }
}

function refused({ text, exit }: Refusal): number {
  process.stderr.write(`entityos-agent: ${text}\n`);
  return exit;
}

/** Takes both tables away, and nothing else. Refuses while an agent runs, as it would put them back. */
export async function cleanup(file: string, log: Log): Promise<number> {
  const config = loadAgentConfig(file);
  const running = await queryStatus(join(config.runtimeDir, PATH.agentSocketName)).catch(() => null);
  if (running !== null) {
    process.stderr.write(`entityos-agent: Cannot clean up while the agent runs (pid ${running.pid}). Stop it first.\n`);
    return EXIT.failed;
  }
  if (new Ground(config).held) {
    process.stderr.write("entityos-agent: Cannot clean up while entityos-floor.service holds the floor. Stop it first.\n");
    return EXIT.failed;
  }
  await removeGate({ log });
  process.stdout.write("Both tables are gone: this host is open to whatever else its firewall admits.\n");
  return EXIT.ok;
}

/** With the key where this process can read it. @param nowMs null: a certificate that ran out is no problem here @throws ConfigError when the file, or a file that it names, cannot be used */
function checkedConfig(file: string, nowMs: number | null = null): AgentConfig {
  const written = loadAgentConfig(file);
  const config = { ...written, registry: { ...written.registry, key: credentialPath(written.registry.key) } };
  const problems = [...credentialProblems(config, null), ...serviceProblems(config)];
  // The certificate that the operator wrote may have run out: the renewed one goes on.
  if (problems.length === 0 && nowMs !== null && identityEnd(identityOf(config)) <= nowMs)
    problems.push(...credentialProblems(config, nowMs));
  if (problems.length > 0) throw new ConfigError(file, problems);
  return config;
}

function table(status: AgentStatus): string {
  const open = Object.entries(status.lanes).flatMap(([lane, on]) => (on ? [lane] : []));
  const rows: [string, string][] = [
    ["agent", `${status.name} (${status.zone} zone, version ${status.version}, pid ${status.pid})`],
    ["state", status.state],
    ["revision", `${status.revision} of epoch ${status.epoch ?? "none"}`],
    ["digest", status.digest ?? "none"],
    ["rules", `${status.rules}${status.refused > 0 ? `, ${status.refused} held back by this host's ceiling` : ""}`],
    ["trust", `${status.trust}${status.trustRefused > 0 ? `, ${status.trustRefused} not believed` : ""}`],
    ["pending", String(status.pending)],
    ["lanes open", open.join(", ") || "none"],
    ["floor", status.floor ? "held" : "not held"],
    [
      "feed",
      status.feed.connected
        ? `${status.feed.address}, heard ${status.feed.silentMs} ms ago`
        : `not connected for ${status.feed.silentMs} ms`,
    ],
    ["last apply", status.lastApply === null ? "none" : `${status.lastApply.changes} changes in ${status.lastApply.tookMs.toFixed(1)} ms`],
    ["clock skew", `${status.time.skewMs} ms`],
    ["certificate", `runs out at ${new Date(status.certificate.notAfter).toISOString()}`],
    ...(status.serviceCertificate === null
      ? []
      : [["service's", `runs out at ${new Date(status.serviceCertificate.notAfter).toISOString()}`] satisfies [string, string]]),
    ...status.notCompared.map((set): [string, string] => ["not compared", `${set}: more elements than compare.upTo`]),
    ...status.alarms.map(({ name, message }): [string, string] => ["alarm", `${message} (${name})`]),
  ];
  return rows.map(([name, value]) => `${name.padEnd(14)}${value}\n`).join("");
}
