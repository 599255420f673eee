import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ground } from "../../agent/nft/ground.ts";
import { type AgentStatus, queryStatus } from "../../agent/status.ts";
import { floorProgram } from "../../agent/systemd/units.ts";
import { currentLink, layoutOf } from "../../agent/terminator/layout.ts";
import { createMaster } from "../../agent/terminator/master.ts";
import { servingNginx } from "../../agent/terminator/nginx-master.ts";
import { PATH } from "../../lib/service.ts";
import { type Io, processIo } from "../../registry/cli/io.ts";
import { runCli } from "../../registry/cli/run.ts";
import { hashPassword } from "./application/people.ts";
import {
  agentConfigFile,
  agentYaml,
  applicationData,
  applicationSocket,
  BIN,
  controlSocket,
  groundFolder,
  loginFile,
  masterSocket,
  peopleFile,
  registryConfigFile,
  registryYaml,
} from "./configs.ts";
import { CommandError } from "./exec.ts";
import { paths } from "./folder.ts";
import { LAB, LabError, type LabOptions, type LabPlan, type Member } from "./plan.ts";
import { findProcess, runRecorded, startProcess } from "./processes.ts";
import { waitFor } from "./wait.ts";

/** The lab's long-lived programs, by the names of their records and logs. */
export const agentOf = (host: Member): string => `${host.name}-agent`;
export const floorOf = (host: Member): string => `${host.name}-floor`;
export const serviceOf = (host: Member): string => `${host.name}-service`;
export const terminatorOf = (host: Member): string => `${host.name}-terminator`;

export const statusCommand = (plan: LabPlan, host: Member): readonly string[] => [
  BIN.agent,
  "status",
  "--json",
  "--config",
  agentConfigFile(plan, host),
];

/** `entityos …` against the lab's control socket. Resolves to its standard output. */
export const operator = (plan: LabPlan, args: readonly string[], signal?: AbortSignal): Promise<string> =>
  runRecorded(plan.folder, [BIN.cli, ...args, "--socket", controlSocket(plan)], { signal });

/** The same without starting the program: for what every lab needs, and for what is asked again and again. @throws CommandError */
export async function operate(plan: LabPlan, args: readonly string[]): Promise<string> {
  const said = { out: "", err: "" };
  const io: Io = {
    ...processIo,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
  };
  const code = await runCli([...args, "--socket", controlSocket(plan)], io);
  if (code !== 0) throw new CommandError(["entityos", ...args], code, said.out, said.err);
  return said.out;
}

export async function initRegistry(plan: LabPlan, overrides: LabOptions["registryConfig"], signal?: AbortSignal): Promise<void> {
  writeFileSync(registryConfigFile(plan), registryYaml(plan, overrides), { mode: 0o600 });
  await runRecorded(plan.folder, [BIN.registry, "init", "--config", registryConfigFile(plan)], { signal });
}

export const registryCommand = (plan: LabPlan): readonly string[] => [BIN.registry, "serve", "--config", registryConfigFile(plan)];
export const agentCommand = (plan: LabPlan, host: Member): readonly string[] => [BIN.agent, "run", "--config", agentConfigFile(plan, host)];

/** Starts the registry and resolves once it says that it listens. */
export async function startRegistry(plan: LabPlan, signal?: AbortSignal): Promise<void> {
  await startUntil(plan, "registry", plan.registry, registryCommand(plan), async (log) => /^ready .*$/m.test(log), signal);
}

export async function setProfiles(plan: LabPlan): Promise<void> {
  const addresses = ["--addresses", `${LAB.network},${LAB.network6}`, "--observed6", "128"];
  const set = (name: string, pattern: string, limits: readonly string[]) =>
    operate(plan, ["profile", "set", name, "--pattern", pattern, ...limits]);
  await Promise.all([set(LAB.profile, "ip", addresses), set(LAB.certProfile, "cert", []), set(LAB.bothProfile, "both", addresses)]);
}

/** The agent's certificate, its service's certificate and its configuration. */
export async function enrolAgent(plan: LabPlan, host: Member, overrides: LabOptions["agentConfig"], signal?: AbortSignal): Promise<void> {
  const names = [host.name, host.address, host.address6].join(",");
  await operator(plan, ["agent", "enroll", host.name, "--out", paths(plan).of(host.name), "--service", names], signal);
  writeFileSync(agentConfigFile(plan, host), agentYaml(plan, host, overrides), { mode: 0o600 });
}

/** As entityos-floor.service does: the agent comes to it. */
export async function startFloorHolder(plan: LabPlan, host: Member, signal?: AbortSignal): Promise<void> {
  const folder = groundFolder(plan, host);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const program = join(folder, "hold");
  writeFileSync(program, floorProgram(folder, join(paths(plan).dataOf(host.name), PATH.groundRulesName)), { mode: 0o700 });
  const holds = async () => new Ground({ stateDir: paths(plan).dataOf(host.name), groundDir: folder }).held;
  await startUntil(plan, floorOf(host), host, [program], holds, signal);
}

/** Starts the agent and resolves once it enforces a revision. */
export async function startAgent(
  plan: LabPlan,
  host: Member,
  options: { readonly signal?: AbortSignal | undefined; readonly readyTimeoutMs?: number | undefined } = {},
): Promise<void> {
  const isReady = async () => {
    const status = await agentStatus(plan, host);
    return status?.state === "enforcing" && status.epoch !== null;
  };
  await startUntil(plan, agentOf(host), host, agentCommand(plan, host), isReady, options.signal, options.readyTimeoutMs);
}

/** A person who may log in, with a new password. */
export async function writePeople(plan: LabPlan): Promise<void> {
  const password = randomBytes(12).toString("base64url");
  writeFileSync(loginFile(plan), JSON.stringify({ name: LAB.person, password }), { mode: 0o600 });
  writeFileSync(peopleFile(plan), JSON.stringify({ [LAB.person]: await hashPassword(password) }), { mode: 0o600 });
}

export async function startService(plan: LabPlan, host: Member, signal?: AbortSignal): Promise<void> {
  const files = ["--people", peopleFile(plan), "--data", applicationData(plan, host)];
  const command = [BIN.run, "test/lab/service.ts", "--socket", applicationSocket(plan, host), "--name", host.name, ...files];
  await startUntil(plan, serviceOf(host), host, command, async (log) => /^ready service=/m.test(log), signal);
}

/**
 * Starts HAProxy or nginx with the configuration that the agent wrote, and resolves once it serves.
 * @param through makes the command of it that is run
 */
export async function startTerminator(
  plan: LabPlan,
  host: Member,
  signal?: AbortSignal,
  through: (command: readonly string[]) => readonly string[] = (command) => command,
): Promise<void> {
  const { command, serves } = plan.terminator === "haproxy" ? haproxyOf(plan, host) : nginxOf(plan, host);
  await startUntil(plan, terminatorOf(host), host, through(command), serves, signal);
}

function haproxyOf(plan: LabPlan, host: Member) {
  const socket = masterSocket(plan, host);
  const { config } = layoutOf(currentLink(paths(plan).dataOf(host.name)), "haproxy");
  const master = createMaster(socket);
  const serves = async () => {
    const answer = await master.command("show proc", { signal: AbortSignal.timeout(1_000) }).catch(() => "");
    return /^\d+\s+worker/m.test(answer);
  };
  return { command: ["haproxy", "-W", "-S", `${socket},mode,600`, "-f", config], serves };
}

function nginxOf(plan: LabPlan, host: Member) {
  const stateDir = paths(plan).dataOf(host.name);
  const { config } = layoutOf(currentLink(stateDir), "nginx");
  // Workers of a master that is root are nobody's by default, who may not ask the agent.
  const command = ["nginx", "-e", "stderr", "-g", "user root;", "-c", config];
  return { command, serves: async () => servingNginx(stateDir).length > 0 };
}

/** What the agent says of itself; undefined while it does not answer. */
export async function agentStatus(plan: LabPlan, host: Member): Promise<AgentStatus | undefined> {
  try {
    return (await queryStatus(join(paths(plan).of(host.name), PATH.agentSocketName))) ?? undefined;
  } catch (error) {
    if (error instanceof Error && "code" in error) return undefined;
    throw error;
  }
}

async function startUntil(
  plan: LabPlan,
  name: string,
  member: Member,
  command: readonly string[],
  isReady: (newLog: string) => Promise<boolean>,
  signal?: AbortSignal,
  timeoutMs: number = LAB.readyTimeoutMs,
): Promise<void> {
  const logFile = paths(plan).log(name);
  const before = readLog(logFile).length;
  startProcess(plan.folder, name, member.netns, command, logFile);
  const newLog = () => readLog(logFile).slice(before);
  await waitFor(`the record of ${name}`, () => findProcess(plan.folder, name), { signal });
  const ready = async (): Promise<true | undefined> => {
    if (await isReady(newLog())) return true;
    if (findProcess(plan.folder, name)) return undefined;
    throw new LabError(`Cannot start ${name}: it ended at once; ${logFile} says:\n${newLog().slice(-2_000)}`);
  };
  await waitFor(`${name} to be ready (see ${logFile})`, ready, { timeoutMs, signal });
}

const readLog = (file: string): string => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};
