import type { RegistryStatus } from "../../lib/admin/api.ts";
import { type Control, openControl } from "../../registry/cli/control.ts";
import { registryName } from "../lab/configs.ts";
import { type Lab, type StartOptions, startLab } from "../lab/lab.ts";
import { LAB, type LabPlan, type Member } from "../lab/plan.ts";
import { operate } from "../lab/programs.ts";
import { check } from "./checks.ts";
import type { Send } from "./deeds.ts";
import { Model } from "./model.ts";
import { makingCode } from "./operating.ts";
import { type Hands, startHands } from "./stranger.ts";
import { Registering } from "./submitting.ts";

/** Profiles of the lab: addresses that live for an hour, and some whose life ends soon. */
export const PROFILES = { long: "faults-long", brief: "faults-brief" } as const;
export const BRIEF_S = 12;
export const NETWORKS = ["198.18.0.0/16", "2001:db8:f::/48"] as const;

const REQUEST_TIMEOUT_MS = 10_000;

/** A lab for faults: two devices, of which the first stays a stranger and the second asks; and a model of what was answered. */
export class Stand implements AsyncDisposable {
  readonly lab: Lab;
  readonly control: Control;
  readonly model = new Model();
  readonly #hands: Hands;

  private constructor(lab: Lab, control: Control, hands: Hands) {
    this.lab = lab;
    this.control = control;
    this.#hands = hands;
  }

  static async open(options: StartOptions): Promise<Stand> {
    await using stack = new AsyncDisposableStack();
    const registryConfig = {
      allowNetworks: [LAB.network, LAB.network6, ...NETWORKS],
      limits: { registrationsPerMinute: 1_000_000, registrationsPerHour: 1_000_000_000 },
      feed: { heartbeatMs: 1_000 },
      ...options.registryConfig,
    };
    const lab = stack.use(await startLab({ ...options, devices: 2, registryConfig }));
    for (const [profile, life] of [
      [PROFILES.long, "1h"],
      [PROFILES.brief, `${BRIEF_S}s`],
    ] as const) {
      const limits = ["--addresses", NETWORKS.join(","), "--address-lifetime", life, "--widest4", "24", "--widest6", "64"];
      await operate(lab.plan, ["profile", "set", profile, "--pattern", "ip", ...limits]);
    }
    const [, device] = lab.plan.devices;
    if (device === undefined) throw new Error("the lab has no device");
    const hands = stack.use(await startHands(device));
    const stand = new Stand(lab, await openControl({ socket: lab.description.controlSocket }), hands);
    stand.model.trust = (await stand.control.get<RegistryStatus>("/status")).digest;
    const held = stack.move();
    return Object.assign(stand, { [Symbol.asyncDispose]: () => held.disposeAsync() });
  }

  get plan(): LabPlan {
    return this.lab.plan;
  }

  get stranger(): Member {
    const [device] = this.plan.devices;
    if (device === undefined) throw new Error("the lab has no device");
    return device;
  }

  host(index = 0): Member {
    const host = this.plan.hosts[index];
    if (host === undefined) throw new Error(`the lab has no host ${index}`);
    return host;
  }

  get registry(): string {
    return registryName(this.plan);
  }

  /** Requests of the device to the register role. */
  readonly send: Send = (ask) => {
    const { registerUrl, caFile } = this.lab.description;
    return this.#hands.ask("send", { ...ask, url: registerUrl, ca: caFile, timeoutMs: REQUEST_TIMEOUT_MS });
  };

  /** Makes a code, and a registration with it that may be asked at will. */
  async registering(addresses: readonly string[], profile: string = PROFILES.long): Promise<Registering> {
    const making = makingCode(this.model, this.control, profile, 1);
    if (!(await making.deed.ask())) throw new Error(`${making.deed.what} got no answer`);
    return new Registering(this.model, this.send, this.registry, making.code, addresses);
  }

  /** Registers, and must be answered. @returns the device's id */
  async register(addresses: readonly string[], profile: string = PROFILES.long): Promise<string> {
    const known = new Set(this.model.devices.keys());
    const deed = await this.registering(addresses, profile);
    if (!(await deed.ask())) throw new Error(`${deed.what} got no answer`);
    const id = [...this.model.devices.keys()].find((device) => !known.has(device));
    if (id === undefined) throw new Error(`${deed.what} was refused`);
    return id;
  }

  /** What differs from the model once the system had the time to come to rest. */
  check(timeoutMs = 40_000): Promise<readonly string[]> {
    return check(this.model, this.plan, this.control, timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
