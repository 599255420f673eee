import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { stringify } from "yaml";
import { type MetalSettings, parseMetal } from "../../infra/metal/settings.ts";
import type { CommandError } from "../lab/exec.ts";
import { REGISTRY_NAME } from "./install.ts";
import type { Machine } from "./machine.ts";
import type { Device } from "./network.ts";

const ROOT = join(import.meta.dirname, "../..");
const TIMEOUT_MS = 600_000;
/** Control sequences of terminals (ECMA-48). */
const COLOURS = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, "g");
/** The settings' folder bears a name as people give them. */
const folderOf = (folder: string): string => {
  const made = join(folder, "hosts of 100% lab");
  mkdirSync(made, { recursive: true });
  return made;
};
const settingsOf = (folder: string): string => join(folderOf(folder), "metal.yaml");
/** The private key by which hosts are deployed to. */
export const keyOf = (folder: string): string => join(folderOf(folder), "id");

/** A host's own part of the settings. */
export type Tree = Record<string, unknown>;

/** What a run of cdktf or terraform said, both outputs, without colours. */
export interface Ran {
  readonly code: number;
  readonly said: string;
}

/** The metal stack as an operator runs it, from the operator's own namespace. */
export class Metal {
  /** Everything that was ever printed. */
  readonly logs: string[] = [];
  /** Agents' own parts by machine, and packages and width for all. */
  readonly agents: Record<string, Tree> = {};
  build: "1" | "2" = "1";
  width = 1;
  /** Registries' hosts that may be purged. */
  purge: readonly string[] = [];
  /** Machines that the settings call otherwise, and those that they name no more. */
  readonly names = new Map<string, string>();
  readonly without = new Set<string>();
  readonly #folder: string;
  readonly #operator: Device;
  readonly #machines: readonly Machine[];
  readonly #userOf: (machine: Machine) => string;
  readonly #hostKeys = new Map<string, string>();

  constructor(folder: string, operator: Device, machines: readonly Machine[], userOf: (machine: Machine) => string) {
    this.#folder = folder;
    this.#operator = operator;
    this.#machines = machines;
    this.#userOf = userOf;
  }

  deploy(): Promise<Ran> {
    return this.#cdktf(["deploy", "metal", "--auto-approve"]);
  }

  destroy(): Promise<Ran> {
    return this.#cdktf(["destroy", "metal", "--auto-approve"]);
  }

  /** What cdktf's plan says. */
  diff(): Promise<Ran> {
    return this.#cdktf(["diff", "metal"]);
  }

  /** What the settings come to. */
  async configured(): Promise<MetalSettings> {
    return parseMetal("metal.yaml", stringify(await this.#settings()));
  }

  state(): string {
    return readFileSync(join(this.#folder, "cdktf.out/stacks/metal/state/lab-metal.tfstate"), "utf8");
  }

  async #cdktf(words: readonly string[]): Promise<Ran> {
    const settings = settingsOf(this.#folder);
    writeFileSync(settings, stringify(await this.#settings()));
    const environment = ["-u", "TF_CLI_CONFIG_FILE", "CHECKPOINT_DISABLE=1", "CI=1", `ENTITYOS_METAL=${settings}`];
    const command = ["env", "-C", ROOT, ...environment, "npx", "cdktf", ...words, "--output", join(this.#folder, "cdktf.out")];
    // Both outputs in the order in which they came.
    const both = ["sh", "-c", 'exec "$@" 2>&1', "sh", ...command];
    const ran = await this.#operator.run(both, "", TIMEOUT_MS).then(
      (said) => ({ code: 0, said }),
      ({ code, stdout }: CommandError) => ({ code: code ?? -1, said: stdout }),
    );
    this.logs.push(ran.said);
    if (process.env.ENTITYOS_LOG === "debug") process.stdout.write(ran.said);
    return { code: ran.code, said: ran.said.replaceAll(COLOURS, "") };
  }

  async #settings(): Promise<Tree> {
    const hosts = await Promise.all(
      this.#machines.map(async (machine, index) => ({
        name: this.names.get(machine.name) ?? machine.name,
        role: index === 0 ? "registry" : "agent",
        address: machine.v4,
        ssh: { user: this.#userOf(machine), hostKey: await this.#hostKey(machine) },
        ...(index === 0 ? {} : { service: [machine.v4, machine.v6], agent: this.agents[machine.name] ?? {} }),
      })),
    );
    const [{ v4, v6 } = { v4: "", v6: "" }] = this.#machines;
    return {
      environment: "lab",
      backend: { kind: "local", folder: "state" },
      packages: `../dist/${this.build}`,
      rolling: { width: this.width },
      purge: this.purge,
      ssh: { key: basename(keyOf(this.#folder)) },
      registry: {
        name: REGISTRY_NAME,
        register: { names: [v4, v6] },
        control: { names: [v4, v6] },
        allowNetworks: ["203.0.113.0/24", "2001:db8::/32"],
      },
      agent: {
        terminator: { kind: "haproxy" },
        gate: {
          lanes: { ip: true, ipcert: true },
          management: { ports: [22], networks: [`${this.#operator.v4}/32`] },
          newConnections: { perSecond: 10_000, burst: 10_000 },
        },
      },
      hosts: hosts.filter(({ name }) => !this.without.has(name)),
    };
  }

  async #hostKey(machine: Machine): Promise<string> {
    const known = this.#hostKeys.get(machine.name);
    if (known !== undefined) return known;
    const [kind, key] = (await machine.sh("cat /etc/ssh/ssh_host_ed25519_key.pub")).trim().split(" ");
    this.#hostKeys.set(machine.name, `${kind} ${key}`);
    return `${kind} ${key}`;
  }
}
