import { join } from "node:path";
import { BIN, registryName } from "./configs.ts";
import { inNetns, run } from "./exec.ts";
import { paths } from "./folder.ts";
import type { Lab } from "./lab.ts";
import { LAB, type Member } from "./plan.ts";
import { type Probe, startProbe } from "./probe-client.ts";
import type { Answers, Target } from "./probe-messages.ts";
import { agentStatus, operator } from "./programs.ts";
import { waitFor } from "./wait.ts";

/** A code as `entityos code create --json` prints it. */
export interface MadeCode {
  readonly code: string;
}

/** What the register role answers a registration with, as far as it is looked at here. */
export interface Registered {
  readonly id: string;
  readonly device: string;
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
  async makeCode(subject: string, uses: number): Promise<string> {
    const args = ["code", "create", "--subject", subject, "--profile", "lab", "--uses", String(uses), "--expires", "1h", "--json"];
    const made: MadeCode = JSON.parse(await operator(this.lab.plan, args));
    return made.code;
  }

  /** Registers as a device that is not ours would: over HTTPS, signed by the code. */
  async register(device: number, code: string, addresses: readonly string[] = ["observed"]): Promise<Answers["register"]> {
    return this.probe(device).ask("register", { ...this.#registry, ca: this.ca, code, addresses });
  }

  /** Registers with the program that users install. */
  async enrol(device: number, code: string, name: string): Promise<Registered> {
    const state = join(paths(this.lab.plan).of(this.device(device).name), name);
    const { url, registry } = this.#registry;
    const args = ["enroll", "--url", url, "--registry", registry, "--ca", this.ca, "--code-file", "-", "--address", "observed"];
    const command = inNetns(this.device(device).netns, [BIN.cli, ...args, "--state", state, "--json"]);
    return JSON.parse(await run(command, { input: `${code}\n` }));
  }

  async revoke(device: string): Promise<void> {
    await operator(this.lab.plan, ["device", "revoke", device, "--json"]);
  }

  /** The line that the service answers this device with. @throws Error when it does not within `timeoutMs` */
  async fetch(device: number, host: string = this.host().address, timeoutMs = 3_000): Promise<string> {
    const ask = { host, port: LAB.servicePort, path: "/", ca: this.ca, timeoutMs };
    const { status, body } = await this.probe(device).ask("get", ask);
    if (status !== 200) throw new Error(`the service answered ${status}`);
    return body.trim();
  }

  /** Resolves, with the time, once the agent says that a later revision than `revision` is in the kernel and on disk. */
  async appliedAfter(revision: number, host = this.host()): Promise<{ readonly revision: number; readonly at: number }> {
    const later = async () => {
      const status = await agentStatus(this.lab.plan, host);
      return status && status.revision > revision ? { revision: status.revision, at: Date.now() } : undefined;
    };
    return waitFor(`${host.name} to apply a revision after ${revision}`, later, { everyMs: 2 });
  }

  async revision(host = this.host()): Promise<number> {
    const status = await agentStatus(this.lab.plan, host);
    if (!status) throw new Error(`the agent on ${host.name} does not answer`);
    return status.revision;
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
