import { dirname, join } from "node:path";
import { PATH } from "../../lib/service.ts";

/** Where an enrolment writes. */
export const AGENT_FOLDER = dirname(PATH.agentConfig);

/** A part of a configuration as YAML has it. */
export type Tree = Readonly<Record<string, unknown>>;

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null && !Array.isArray(value);

/** Parts laid over each other, later ones above; a list is taken whole. */
export function mergeSettings(parts: readonly Tree[]): Tree {
  const merged: Record<string, unknown> = {};
  for (const part of parts) {
    for (const [key, value] of Object.entries(part)) {
      const below = merged[key];
      merged[key] = isTree(below) && isTree(value) ? mergeSettings([below, value]) : value;
    }
  }
  return merged;
}

/** Which part says what stands at this path, or at what is above it: the last one's number. -1 when none says anything of it. */
export function origin(parts: readonly Tree[], path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    for (const [index, part] of [...parts.entries()].reverse()) if (valueAt(part, path.slice(0, length)) !== undefined) return index;
  }
  return -1;
}

function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  let value = tree;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[key];
  }
  return value;
}

/** registry.yaml: made for the host's own address where no names are told. */
export function registryInput(told: Tree, address: string): Tree {
  const names = { names: [address] };
  return mergeSettings([{ register: names, control: names }, told]);
}

/** agent.yaml: who it is and where control is follow from the settings. @param control null when the settings do not say it, which is their problem */
export function agentInput(
  told: Tree,
  { name, zone, control }: { readonly name: string; readonly zone: string; readonly control: string | null },
): Tree {
  return mergeSettings([
    {
      name,
      zone,
      registry: {
        addresses: [control ?? "https://control.invalid"],
        ca: join(AGENT_FOLDER, "ca.pem"),
        certificate: join(AGENT_FOLDER, "agent.crt"),
        key: join(AGENT_FOLDER, "agent.key"),
      },
    },
    told,
    { name, zone },
  ]);
}
