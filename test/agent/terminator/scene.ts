import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TerminatorKind } from "../../../agent/config.ts";
import { type AgentConfig, parseAgentConfig } from "../../../agent/config.ts";
import { DesiredState } from "../../../agent/desired.ts";
import type { Flow } from "../../../agent/target.ts";
import { HaproxyTarget } from "../../../agent/terminator/haproxy.ts";
import { type NginxOptions, NginxTarget } from "../../../agent/terminator/nginx.ts";
import type { Terminator } from "../../../agent/terminator/settings.ts";
import { silentLog } from "../../../lib/log.ts";
import type { Lane } from "../../../lib/service.ts";
import { freePort } from "../../lab/ports.ts";
import { startApplication } from "./application.ts";
import { type ClientCertificate, makeTestPki, type Pki } from "./pki.ts";
import { terminatorProcess } from "./processes.ts";

/** A real HAProxy or nginx in front of an application, on the loopback interface, with the target that drives it. */
export interface TerminatorScene extends AsyncDisposable {
  readonly pki: Pki;
  readonly config: AgentConfig;
  readonly ports: Readonly<Record<Lane, number>>;
  readonly target: Terminator;
  readonly desired: DesiredState;
  /** Flows that were cut. */
  readonly cut: Flow[];
  /** Every request that reached the application: its raw headers. */
  readonly seen: readonly (readonly string[])[];
  /** Trailers that reached the application. */
  readonly trailers: readonly string[];
  /** Answers of the application's under way that do not end. */
  streams(): number;
  /** Brings changes of the desired state to the target, as the reconciler does. */
  apply(): Promise<void>;
  register(certificate: ClientCertificate, device: string, pattern: string, subject?: string): Promise<void>;
  revoke(certificate: ClientCertificate): Promise<void>;
  startTerminator(): Promise<void>;
  /** Ends the terminator's processes by SIGKILL. */
  killTerminator(): Promise<void>;
  /** Process ids of the workers that take new connections. */
  workers(): Promise<number[]>;
  /** Process ids of those that were replaced and let requests end. */
  replacedWorkers(): Promise<number[]>;
}

export interface SceneOptions {
  /** HAProxy when left out. */
  readonly kind?: TerminatorKind;
  readonly lanes?: Partial<Record<Lane, boolean>>;
  readonly terminator?: Readonly<Record<string, unknown>>;
  readonly pki?: Pki;
  /** Of the target, whichever it is. */
  readonly target?: Partial<Pick<NginxOptions, "connections" | "cut" | "close" | "log" | "tendMs" | "crlReloadMs" | "now">>;
}

export async function makeTerminatorScene({
  kind = "haproxy",
  lanes = {},
  terminator = {},
  pki: given,
  target: more = {},
}: SceneOptions = {}): Promise<TerminatorScene> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "eos-terminator-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const pki = given ?? (await makeTestPki());
  const [ip, ipcert, roaming, probe] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const config = sceneConfig(folder, { ip, ipcert, roaming }, probe, lanes, { kind, ...terminator });
  writeFileSync(join(folder, "root.pem"), pki.root);
  writeFileSync(join(folder, "service.crt"), pki.service.certificate);
  writeFileSync(join(folder, "service.key"), pki.service.key, { mode: 0o600 });
  const seen: string[][] = [];
  const trailers: string[] = [];
  const application = stack.use(await startApplication(config.terminator.application, seen, trailers));
  const desired = new DesiredState();
  const cut: Flow[] = [];
  const ending = new AbortController();
  const { signal } = ending;
  const options = {
    config,
    log: silentLog,
    signal,
    now: Date.now,
    cut: async (flows: readonly Flow[]) => void cut.push(...flows),
    fetchCrl: async () => {
      throw new Error("no CRL is too large here");
    },
    ...more,
  };
  const target = kind === "haproxy" ? new HaproxyTarget(options) : await NginxTarget.start({ crlReloadMs: 50, ...options });
  stack.use(target);
  stack.defer(() => ending.abort(new Error("the scene ends")));
  for (const [id, body] of [
    [pki.rootId, pki.root],
    [pki.deviceCaId, pki.deviceCa],
  ] as const)
    desired.change({ kind: "trust.set", target: "ca", id, body });
  desired.change({ kind: "trust.set", target: "crl", id: pki.rootId, body: await pki.crl("root", 1) });
  desired.change({ kind: "trust.set", target: "crl", id: pki.deviceCaId, body: await pki.crl("device", 1) });
  await target.resync(desired, signal);
  desired.acknowledgeAll();
  const processes = terminatorProcess(config);
  stack.defer(() => processes.kill());
  await processes.start();
  const apply = async (): Promise<void> => {
    const pending = desired.pending();
    await target.apply(desired, pending, signal);
    desired.acknowledge(pending);
  };
  const held = stack.move();
  return {
    pki,
    config,
    ports: { ip, ipcert, roaming },
    target,
    desired,
    cut,
    seen,
    trailers,
    streams: application.streams,
    apply,
    register: async ({ fingerprint, serial, notAfter }, device, pattern, subject = "alice") => {
      const body = JSON.stringify({ device, pattern, subject, serial, issuer: pki.deviceCaId, notAfter });
      desired.change({ kind: "trust.set", target: "certificate", id: fingerprint, body });
      await apply();
    },
    revoke: async ({ fingerprint }) => {
      desired.change({ kind: "trust.remove", target: "certificate", id: fingerprint });
      await apply();
    },
    startTerminator: () => processes.start(),
    killTerminator: () => processes.kill(),
    workers: () => processes.workers(),
    replacedWorkers: () => processes.replacedWorkers(),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function sceneConfig(
  folder: string,
  listeners: Readonly<Record<Lane, number>>,
  probePort: number,
  lanes: Partial<Record<Lane, boolean>>,
  terminator: Readonly<Record<string, unknown>>,
): AgentConfig {
  const [stateDir, runtimeDir] = [join(folder, "state"), join(folder, "run")];
  for (const path of [stateDir, runtimeDir]) mkdirSync(path, { mode: 0o700 });
  return parseAgentConfig(
    "agent.yaml",
    JSON.stringify({
      name: "host-1",
      registry: { addresses: ["https://control.example"], ca: join(folder, "root.pem"), certificate: "unused", key: "unused" },
      stateDir,
      runtimeDir,
      gate: {
        listeners,
        lanes: { ip: true, ipcert: true, roaming: true, ...lanes },
        probe: { port: probePort, networks: ["127.0.0.0/8"] },
      },
      terminator: {
        certificate: join(folder, "service.crt"),
        application: join(folder, "application.sock"),
        masterSocket: join(folder, "master.sock"),
        maxConnections: 200,
        ...terminator,
      },
    }),
  );
}
