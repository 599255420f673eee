import { DataResource, Fn, TerraformIterator, TerraformSelf, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import { keepState } from "../backend.ts";
import type { HostPlan } from "./reading.ts";
import type { Host, MetalSettings } from "./settings.ts";

/** Paths from where Terraform runs the stack, so that none of one machine is written. */
export interface Places {
  /** The project's folder, from the stack's. */
  readonly root: string;
  /** The settings' file, from the project's folder. */
  readonly settings: string;
}

/**
 * Hosts that are there. What each is to be is a resource that is replaced when the host differs; what takes everything away again is
 * another, which stays as long as the host is named. No secret is in either.
 */
export class MetalStack extends TerraformStack {
  constructor(scope: Construct, settings: MetalSettings, plans: readonly HostPlan[], places: Places) {
    super(scope, "metal");
    keepState(this, `${settings.environment}-metal`, settings.environment, settings.backend);
    const command = (what: string) => `scripts/run infra/metal/main.ts ${what}`;
    const common = { type: "local-exec", workingDir: places.root } as const;
    const environment = { ENTITYOS_METAL: places.settings };
    /** One block for all hosts of a role: what a block did for a host that is no longer named, it undoes. */
    const presence = (role: "registry" | "agent", after: DataResource[]) => {
      const named = plans.filter(({ host }) => host.role === role).map(({ host }) => [host.connection.name, inputOf(host, settings)]);
      const hosts = TerraformIterator.fromMap(Object.fromEntries(named));
      return new DataResource(this, `${role}-hosts`, {
        forEach: hosts,
        input: hosts.value,
        dependsOn: after,
        // Refused with the plan, before anything of it is done; the program that removes it looks at the name once more.
        lifecycle: { preventDestroy: role === "registry" && settings.purge.length === 0 },
        provisioners: [
          {
            ...common,
            command: command("remove"),
            environment: { ...environment, ENTITYOS_METAL_HOST: Fn.jsonencode(TerraformSelf.getAny("input")) },
            when: "destroy",
          },
        ],
      });
    };
    const registries = presence("registry", []);
    const agents = presence("agent", [registries]);
    let wave: DataResource[] = [];
    for (const group of wavesOf(plans, settings.width)) {
      const before = wave;
      wave = group.map(({ host, generation, digest, summary }) => {
        const { name } = host.connection;
        return new DataResource(this, `deploy-${name}`, {
          dependsOn: [host.role === "registry" ? registries : agents, ...before],
          triggersReplace: { generation, ...summary },
          provisioners: [
            {
              ...common,
              command: command(`deploy ${name}`),
              environment: { ...environment, ENTITYOS_METAL_GENERATION: generation, ENTITYOS_METAL_DIGEST: digest },
            },
          ],
        });
      });
    }
  }
}

/** The registry alone, then agents by as many as may be away at a time: a wave begins when all of the one before are well. */
export function wavesOf(plans: readonly HostPlan[], width: number): HostPlan[][] {
  const waves = [plans.filter(({ host }) => host.role === "registry")];
  const agents = plans.filter(({ host }) => host.role === "agent");
  for (let at = 0; at < agents.length; at += width) waves.push(agents.slice(at, at + width));
  return waves;
}

/** What removing a host needs, for it may be named no more by then. */
const inputOf = ({ role, connection }: Host, settings: MetalSettings): Readonly<Record<string, unknown>> => ({
  host: { ...connection },
  registry: role === "registry" ? null : { ...settings.registry.connection },
});
