import { type Clock, systemClock } from "../lib/clock.ts";
import { ConfigError } from "../lib/config.ts";
import { configRefusal, fileRefusal, type Refusal } from "../lib/file-refusal.ts";
import type { Log } from "../lib/log.ts";
import { Problem } from "../lib/problem.ts";
import { EXIT, PATH } from "../lib/service.ts";
import { stopSignal } from "../lib/signals.ts";
import { createNotifier } from "../lib/systemd.ts";
import { EntranceError } from "./admin/entrance.ts";
import { registerUrl } from "./admin/register-url.ts";
import { openAuthorities } from "./ca/authorities.ts";
import { serverName } from "./ca/extensions.ts";
import { PkiError } from "./ca/folder.ts";
import { KeyError } from "./ca/key-error.ts";
import { openSealing } from "./ca/sealing.ts";
import { isSignerUnavailable } from "./ca/signer-unavailable.ts";
import type { RegistryConfig } from "./config.ts";
import { initialise } from "./init.ts";
import { keysOf } from "./keys-of.ts";
import { pathsOf } from "./paths.ts";
import { isThere, NotInitialisedError, serve } from "./serve.ts";
import { StoreRefusedError } from "./store/migrate.ts";

/** What was asked for needs another configuration than this one: exit code 78. */
export class RoleError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "RoleError";
  }
}

/** @returns what to print */
export async function init(config: RegistryConfig, file: string, clock: Clock, log: Log): Promise<string> {
  const { made, epoch, root } = await initialise(config, clock, log);
  const lines = made.length === 0 ? ["Nothing to do: all of it is there."] : ["Made:", ...made.map((thing) => `  ${thing}`)];
  const option = file === PATH.registryConfig ? "" : ` --config ${file}`;
  return `${lines.join("\n")}
epoch: ${epoch}
root:  ${root}  (devices and agents trust this file; its key can be kept elsewhere: serving does not need it)

Next:
  entityos-registry serve${option}
  entityos code create --subject alice --profile desktop
  entityos agent enroll web-1 --out ./web-1
`;
}

/** Serves until SIGTERM or SIGINT, or until it cannot go on. The ready line goes to standard output. */
export async function runUntilStopped(config: RegistryConfig, role: string, clock: Clock, log: Log): Promise<void> {
  if (role !== "all") {
    throw new RoleError(
      `Cannot serve the ${role} role alone: Storage is SQLite, which one process writes. Use --role all, which serves both.`,
    );
  }
  using stop = stopSignal();
  const systemd = createNotifier((error) => log.warn({ err: error }, "Cannot tell the service manager"));
  await using serving = await serve(config, clock, log);
  const { registerPort, estPort, controlPort, socketPath } = serving;
  const est = estPort === null ? "" : ` est=${estPort}`;
  process.stdout.write(`ready register=${registerPort} control=${controlPort}${est} socket=${socketPath}\n`);
  await systemd.ready(`register on port ${registerPort}, control on port ${controlPort}`);
  const stopped = new Promise<void>((resolve) => {
    if (stop.signal.aborted) resolve();
    else stop.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([stopped, serving.ended]);
  log.info({}, "Stopping");
  await systemd.stopping();
}

/** Looks and changes nothing. @returns what to print @throws ConfigError with every problem found */
export async function check(config: RegistryConfig, file: string): Promise<string> {
  const paths = pathsOf(config);
  const problems: string[] = [];
  for (const role of ["register", "control"] as const) {
    for (const [index, name] of config[role].names.entries()) {
      if (serverName(name) === null) problems.push(`${role}.names.${index}: '${name}' is neither a host name nor an address`);
    }
  }
  for (const [index, name] of (config.register.est?.names ?? []).entries()) {
    if (serverName(name) === null) problems.push(`register.est.names.${index}: '${name}' is neither a host name nor an address`);
  }
  const { est } = config.register;
  if (est?.port === config.register.port)
    problems.push(`register.est.port: register and EST cannot both listen on ${config.register.address} port ${est.port}`);
  if (est?.port === config.control.port && config.register.address === config.control.address)
    problems.push(`register.est.port: control and EST cannot both listen on ${config.control.address} port ${est.port}`);
  if (config.register.port === config.control.port && config.register.address === config.control.address)
    problems.push(`control.port: register and control cannot both listen on ${config.control.address} port ${config.control.port}`);
  const seen = visibility(paths.database);
  if (seen === "hidden") problems.push(`stateDir: ${paths.database} cannot be seen: run this as the user that the registry runs as`);
  if (seen === "absent") problems.push(`stateDir: ${paths.database} is not there: run 'entityos-registry init'`);
  try {
    openAuthorities(paths.pki, registerUrl(config), keysOf(config, systemClock));
    openSealing(paths.pki);
  } catch (error) {
    if (!(error instanceof PkiError || error instanceof KeyError)) throw error;
    problems.push(`stateDir: ${error.message}`);
  }
  if (problems.length > 0) throw new ConfigError(file, problems);
  return `sound: ${file}\n`;
}

/** Makes of a registry that is there what `init` would make of it today. @returns what to print */
export async function migrate(config: RegistryConfig, clock: Clock, log: Log): Promise<string> {
  const { database } = pathsOf(config);
  // Storage that got lost must not come back empty.
  if (!isThere(database)) throw new NotInitialisedError(database);
  const { made } = await initialise(config, clock, log);
  return `${made.map((thing) => `made: ${thing}\n`).join("")}up to date: ${database}\n`;
}

function visibility(file: string): "there" | "absent" | "hidden" {
  try {
    return isThere(file) ? "there" : "absent";
  } catch {
    return "hidden";
  }
}

/** What an error means to who started the program. */
export function refusalOf(error: unknown): Refusal {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")) return { text, exit: EXIT.usage };
  if (error instanceof ConfigError) return configRefusal(error);
  const configured = [RoleError, NotInitialisedError, PkiError, KeyError, StoreRefusedError];
  if (configured.some((kind) => error instanceof kind)) return { text, exit: EXIT.config };
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE" || code === "EADDRNOTAVAIL") return { text: `Cannot listen: ${text}`, exit: EXIT.unavailable };
  if (code === "EACCES" || code === "EPERM") return { text: `Not permitted: ${text}`, exit: EXIT.permission };
  const refusal = fileRefusal(error);
  if (refusal !== null) return { text: `${refusal.said}\n${refusal.hint}`, exit: refusal.exit === EXIT.data ? EXIT.config : refusal.exit };
  if (error instanceof EntranceError) return { text, exit: EXIT.unavailable };
  // Who runs the registry's program may know why; over HTTP nobody does.
  const why = error instanceof Problem && isSignerUnavailable(error) && error.cause instanceof Error ? ` (${error.cause.message})` : "";
  if (error instanceof Problem) return { text: `${error.code}: ${text}${why}`, exit: error.status >= 500 ? EXIT.unavailable : EXIT.config };
  return { text: error instanceof Error ? (error.stack ?? text) : text, exit: EXIT.software };
}
