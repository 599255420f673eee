import { join } from "node:path";
import type { RegistryStatus } from "../../lib/admin/api.ts";
import { makeKeyAndCsr } from "../../registry/ca/csr.ts";
import { openControl } from "../../registry/cli/control.ts";
import { BIN, registryName } from "./configs.ts";
import { inNetns, run } from "./exec.ts";
import { paths } from "./folder.ts";
import type { Lab } from "./lab.ts";
import { LAB, type Member } from "./plan.ts";
import { type Probe, startProbe } from "./probe-client.ts";
import type { Answers, ClientCertificate, Target } from "./probe-messages.ts";
import { agentStatus, operator } from "./programs.ts";
import { waitFor } from "./wait.ts";

/** What a registration is answered with, by the register role and by `entityos enroll --json`, as far as it is looked at here. */
export interface Registered {
  readonly device: string;
}

/** What `entityos device revoke --json` prints. */
export interface Revoked {
  readonly device: string;
  readonly grants: number;
  /** In force with this revision. */
  readonly revision: number;
}

/** How long an answer may take on a busy machine, and how long none is listened to. */
export const PATIENCE_MS = 20_000;
const SILENCE_MS = 1_000;

/** A device with a certificate. */
export interface Certified {
  readonly device: string;
  readonly client: ClientCertificate;
  /** POST sent → answered. */
  readonly ms: number;
}

/** The gate's headers as the application got them. */
export interface Identity {
  readonly "x-entityos-lane": string;
  readonly "x-entityos-device"?: string;
  readonly "x-entityos-pattern"?: string;
  readonly "x-entityos-subject"?: string;
}

/** A lab with a probe in the namespace of every device, and what the story and the tests do in it. */
export class Scene implements AsyncDisposable {
  readonly lab: Lab;
  readonly probes: readonly Probe[];
  readonly ca: string;

  private constructor(lab: Lab, probes: readonly Probe[]) {
    this.lab = lab;
    this.probes = probes;
    this.ca = lab.description.caFile;
  }

  static async open(lab: Lab): Promise<Scene> {
    return new Scene(lab, await Promise.all(lab.plan.devices.map((device) => startProbe(device.netns))));
  }

  probe(index: number): Probe {
    return at(this.probes, index);
  }

  host(index = 0): Member {
    return at(this.lab.plan.hosts, index);
  }

  device(index: number): Member {
    return at(this.lab.plan.devices, index);
  }

  /** The service port and every listener's own port, over IPv4 and IPv6. */
  doors(host = this.host()): readonly Target[] {
    return [LAB.servicePort, 8441, 8442, 8443].flatMap((port) => [
      { host: host.address, port },
      { host: host.address6, port },
    ]);
  }

  /** A new code for the subject, good for `uses` devices. */
  async makeCode(subject: string, uses: number, profile: string = LAB.profile): Promise<string> {
    const args = ["code", "create", "--subject", subject, "--profile", profile, "--uses", String(uses), "--expires", "1h", "--json"];
    return JSON.parse(await operator(this.lab.plan, args)).code;
  }

  /** Registers as a device that is not ours would: over HTTPS, signed by the code. */
  async register(device: number, code: string, addresses: readonly string[] = ["observed"]): Promise<Answers["register"]> {
    return this.probe(device).ask("register", { ...this.#registry, ca: this.ca, code, addresses });
  }

  /** Registers with a new key and a request for its certificate. @throws Error when it is not answered with 201 */
  async certify(device: number, code: string, addresses: readonly string[] = []): Promise<Certified> {
    const { key, csr } = await makeKeyAndCsr(null);
    const answer = await this.probe(device).ask("register", { ...this.#registry, ca: this.ca, code, addresses, csr });
    if (answer.status !== 201) throw new Error(`the registration was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
    const body = answer.body as { readonly device: string; readonly certificate: { readonly pem: string; readonly chain: string } };
    return {
      device: body.device,
      client: { cert: body.certificate.pem + body.certificate.chain, key },
      ms: answer.answeredAt - answer.sentAt,
    };
  }

  /** What the application is told of this device, or null when not one HTTP byte comes back in time: who expects to be known has PATIENCE_MS. */
  async whoAmI(device: number, host: Member, client?: ClientCertificate, timeoutMs = SILENCE_MS): Promise<Identity | null> {
    const shown = client === undefined ? {} : { client };
    const ask = { host: host.address, port: LAB.servicePort, path: "/whoami", ca: this.ca, timeoutMs, ...shown };
    const answer = await this.probe(device)
      .ask("get", ask)
      .catch(() => null);
    if (answer === null) return null;
    if (answer.status !== 200) throw new Error(`the service answered ${answer.status}`);
    return JSON.parse(answer.body) as Identity;
  }

  /** Registers with the program that users install. */
  async enrol(device: number, code: string, name: string): Promise<Registered> {
    const state = join(paths(this.lab.plan).of(this.device(device).name), name);
    const { url, registry } = this.#registry;
    const args = ["enroll", "--url", url, "--registry", registry, "--ca", this.ca, "--code-file", "-", "--address", "observed"];
    const command = inNetns(this.device(device).netns, [BIN.cli, ...args, "--state", state, "--json"]);
    return JSON.parse(await run(command, { input: `${code}\n` }));
  }

  /** Revokes with the program that users install. */
  async revoke(device: string): Promise<Revoked> {
    return JSON.parse(await operator(this.lab.plan, ["device", "revoke", device, "--json"]));
  }

  /** Revokes by the same request without a program start, for times. */
  async revokeNow(device: string): Promise<Revoked> {
    const control = await openControl({ socket: this.lab.description.controlSocket });
    return control.send<Revoked>("POST", `/devices/${device}/revoke`);
  }

  /** The line that the service answers this device with. @throws Error when it does not within `timeoutMs` */
  async fetch(device: number, host: string = this.host().address, timeoutMs = PATIENCE_MS): Promise<string> {
    const ask = { host, port: LAB.servicePort, path: "/", ca: this.ca, timeoutMs };
    const { status, body } = await this.probe(device).ask("get", ask);
    if (status !== 200) throw new Error(`the service answered ${status}`);
    return body.trim();
  }

  /** Resolves once the agent says that `revision` is in the kernel and on disk: with the time in ms since 1970, rounded up. */
  async applied(revision: number, host = this.host()): Promise<number> {
    const reached = async () => {
      const status = await agentStatus(this.lab.plan, host);
      return status && status.revision >= revision ? Date.now() + 1 : undefined;
    };
    return waitFor(`${host.name} to apply revision ${revision}`, reached, { timeoutMs: 2 * PATIENCE_MS, everyMs: 2 });
  }

  /** Revision that Storage is at. */
  async headRevision(): Promise<number> {
    const control = await openControl({ socket: this.lab.description.controlSocket });
    return (await control.get<RegistryStatus>("/status")).revision;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.probes.map((probe) => probe[Symbol.asyncDispose]()));
  }

  get #registry(): { readonly url: string; readonly registry: string } {
    return { url: this.lab.description.registerUrl, registry: registryName(this.lab.plan) };
  }
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`the lab has no number ${index}`);
  return item;
}
