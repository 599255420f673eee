import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Belief } from "../../agent/belief.ts";
import { DesiredState } from "../../agent/desired.ts";
import type { Certificate, CertificateAuthority } from "../../lib/admin/api.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { parseCode } from "../../lib/registration/code.ts";
import { parseRegistryConfig } from "../../registry/config.ts";
import { initialise } from "../../registry/init.ts";
import { serve } from "../../registry/serve.ts";
import { freePort } from "../lab/ports.ts";
import { cli } from "../registry/cli/registry.ts";
import { startAgent } from "../registry/feed/agent.ts";
import { ask, type Credentials, Device, type Target, visitFeed } from "./traffic.ts";

/** In the order that an operator would choose: at the end the new root has signed all that signs. */
export const ROTATIONS = ["device", "infrastructure", "root", "infrastructure", "device"] as const;
const CEILING = { widest4: 0, widest6: 0, rules: 1_000_000 };
const DEVICES = 3;

export interface Rotated {
  /** What was done, in order. */
  readonly steps: readonly string[];
  /** CRLs that were renewed for a revocation meanwhile. */
  readonly lists: number;
  readonly done: Readonly<Record<"registered" | "renewed" | "feed" | "operator", number>>;
  /** What was refused, in words: empty when nothing was. */
  readonly refused: readonly string[];
  /** Trust that an agent did not believe, by agent. */
  readonly doubted: Readonly<Record<string, number>>;
}

/**
 * A whole registry in this process, its CAs rotated one after the other while devices register and renew, agents follow the feed and
 * visit it anew, and an operator asks; and lists of revoked certificates are renewed all the time.
 * @param lists CRLs that are to be renewed at least
 */
export async function runRotations(options: { readonly lists: number; readonly progress: (text: string) => void }): Promise<Rotated> {
  const folder = mkdtempSync(join(tmpdir(), "entityos-rotation-"));
  try {
    await using run = await Run.start(folder, options.progress);
    return await run.all(options.lists);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

class Run implements AsyncDisposable {
  readonly #folder: string;
  readonly #target: Target;
  readonly #stack: AsyncDisposableStack;
  readonly #progress: (text: string) => void;
  readonly #agents = new Map<string, { readonly desired: DesiredState }>();
  readonly #done = { registered: 0, renewed: 0, feed: 0, operator: 0 };
  readonly #refused: string[] = [];
  readonly #traffic: Promise<void>[] = [];
  readonly #devices: Device[] = [];
  #over = false;
  #lists = 0;

  private constructor(folder: string, target: Target, stack: AsyncDisposableStack, progress: (text: string) => void) {
    this.#folder = folder;
    this.#target = target;
    this.#stack = stack;
    this.#progress = progress;
  }

  static async start(folder: string, progress: (text: string) => void): Promise<Run> {
    const [port, controlPort] = [await freePort(), await freePort()];
    const config = parseRegistryConfig(
      "rotation",
      JSON.stringify({
        name: "register.example",
        stateDir: join(folder, "state"),
        runtimeDir: join(folder, "run"),
        register: { address: "127.0.0.1", port, names: ["localhost"] },
        control: { address: "127.0.0.1", port: controlPort, names: ["localhost"] },
        allowNetworks: ["127.0.0.0/8"],
        limits: { registrationsPerMinute: 1_000_000, registrationsPerHour: 1_000_000 },
        feed: { heartbeatMs: 1_000 },
      }),
    );
    const stack = new AsyncDisposableStack();
    await initialise(config, systemClock, silentLog);
    stack.use(await serve(config, systemClock, silentLog));
    const target = { registerUrl: `https://localhost:${port}`, controlUrl: `https://localhost:${controlPort}`, registry: config.name };
    return new Run(folder, target, stack, progress);
  }

  async all(lists: number): Promise<Rotated> {
    const more = ["--pattern", "either", "--addresses", "any"];
    await this.#operate("profile", "set", "rotation", ...more);
    const pin = readFileSync(join(this.#folder, "state/pki/root.crt"), "utf8");
    for (const [name, zone] of [
      ["gate-1", "restricted"],
      ["gate-2", "restricted"],
      ["open-1", "open"],
    ] as const)
      await this.#follow(name, zone);
    const steps: string[] = [];
    await this.#send(pin, "visitor-1");
    void this.#renewLists(lists).catch((error: unknown) => this.#refuse("list", error));
    for (const [number, kind] of ROTATIONS.entries()) {
      const { next } = await this.#operate<{ next: string }>("ca", "rotate", "--kind", kind);
      await this.#until(async () => (await this.#authorities()).some(({ id, state }) => id === next && state === "active"));
      steps.push(`${kind} CA rotated`.replace("root CA", "root"));
      this.#progress(`${steps.at(-1)}: ${next}`);
      if (kind === "root") {
        // Whoever comes from now on pins the new root; the others go on with the old one.
        const { text } = await ask(new URL("/v1/ca.pem", this.#target.registerUrl), { pins: pin });
        await this.#send(text, "visitor-2");
        await this.#follow("gate-3", "restricted");
      }
      if (number < ROTATIONS.length - 1) await sleep(200);
    }
    await this.#until(async () => this.#lists >= lists || this.#refused.length > 0);
    const { controlUrl, registerUrl } = this.#target;
    this.#over = true;
    await Promise.all(this.#traffic);
    this.#progress(`${registerUrl} and ${controlUrl} asked ${JSON.stringify(this.#done)}`);
    const doubted = Object.fromEntries([...this.#agents].map(([name, { desired }]) => [name, desired.trustRefused]));
    return { steps, lists: this.#lists, done: this.#done, refused: this.#refused, doubted };
  }

  /** An agent that follows the feed to the end, and believes what its own pin vouches for. */
  async #follow(name: string, zone: "restricted" | "open"): Promise<void> {
    const identity = await this.#enroll(name, zone);
    const desired = new DesiredState(CEILING, new Belief(readFileSync(identity.ca, "utf8"), Date.now));
    this.#agents.set(name, { desired });
    this.#stack.use(startAgent({ url: this.#target.controlUrl }, name, identity, desired));
  }

  async #enroll(name: string, zone: "restricted" | "open"): Promise<Credentials & { readonly ca: string }> {
    const out = join(this.#folder, name);
    await this.#operate("agent", "enroll", name, "--zone", zone, "--out", out);
    return { certificate: join(out, "agent.crt"), key: join(out, "agent.key"), ca: join(out, "ca.pem") };
  }

  /** Devices, a visitor of the feed and an operator that know the registry by this root alone, until the end. */
  async #send(pin: string, visitor: string): Promise<void> {
    const { code } = await this.#operate<{ code: string }>("code", "create", "--subject", "a", "--profile", "rotation", "--uses", "100000");
    const parsed = parseCode(code);
    for (let n = 0; n < DEVICES; n++) {
      const device = new Device(this.#target, pin, parsed);
      this.#devices.push(device);
      this.#repeat("device", async () => void this.#done[await device.step()]++);
    }
    const identity = await this.#enroll(visitor, "open");
    await this.#operate("cert", "list");
    this.#repeat("feed", async () => {
      await visitFeed(this.#target, pin, visitor, identity);
      this.#done.feed++;
    });
    const out = join(this.#folder, `operator-${visitor}`);
    await this.#operate("operator", "enroll", `operator-${visitor}`, "--out", out);
    const as = { certificate: join(out, "operator.crt"), key: join(out, "operator.key") };
    this.#repeat("operator", async () => {
      const { status, text } = await ask(new URL("/v1/admin/status", this.#target.controlUrl), { pins: pin, as });
      if (status !== 200) throw new Error(`status answers ${status} ${text}`);
      this.#done.operator++;
    });
  }

  #repeat(what: string, work: () => Promise<void>): void {
    const run = async (): Promise<void> => {
      while (!this.#over) {
        await work().catch((error: unknown) => this.#refuse(what, error));
        await sleep(20);
      }
    };
    this.#traffic.push(run());
  }

  #refuse(what: string, error: unknown): void {
    this.#refused.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }

  /** Revokes a certificate of each CA that has one to spare, again and again: each time the CA's list is renewed. */
  async #renewLists(lists: number): Promise<void> {
    while (!this.#over && this.#lists < lists) {
      const before = await this.#authorities();
      const { items } = await this.#operate<{ items: Certificate[] }>("cert", "list", "--limit", "1000");
      const spare = items.filter(({ state, subject }) => state === "superseded" || (state === "live" && subject.includes(":spare-")));
      await this.#operate("operator", "enroll", `spare-${this.#lists}`, "--out", join(this.#folder, `spare-${this.#lists}`));
      // Of a device that is none any more: who is refused for a revoked certificate is refused rightly.
      const past = new Set(this.#devices.flatMap((device) => [...device.past]));
      const device = items.find(({ state, device: of }) => state === "live" && of !== null && past.has(of));
      if (device !== undefined) await this.#operate("cert", "revoke", device.fingerprint);
      const operator = spare.find(({ state }) => state === "live");
      if (operator !== undefined) await this.#operate("cert", "revoke", operator.fingerprint);
      await sleep(300);
      const numbers = new Map(before.map(({ id, crl }) => [id, crl?.number ?? 0]));
      for (const { id, crl } of await this.#authorities()) {
        const known = numbers.get(id);
        if (known !== undefined && known > 0 && (crl?.number ?? 0) > known) this.#lists++;
      }
    }
  }
  #authorities(): Promise<readonly CertificateAuthority[]> {
    return this.#operate("ca", "show");
  }

  async #operate<T>(...args: string[]): Promise<T> {
    const { exit, out, err } = await cli([...args, "--socket", join(this.#folder, "run/control.sock"), "--json"]);
    if (exit !== 0) throw new Error(`entityos ${args.join(" ")}: ${err}`);
    return JSON.parse(out) as T;
  }

  async #until(isTrue: () => Promise<boolean>): Promise<void> {
    while (!(await isTrue())) await sleep(100);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await Promise.all(this.#traffic);
    await this.#stack.disposeAsync();
  }
}
