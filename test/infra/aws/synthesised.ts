import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { synthesise } from "../../../infra/aws/app.ts";
import { parseAws } from "../../../infra/aws/settings.ts";
import { type Fields, type Json, resourcesOf, type StackJson, type Synthesis } from "../../../infra/aws/synthesis.ts";
import { withCas } from "./cas.ts";

const ENVIRONMENTS = join(import.meta.dirname, "../../../infra/environments");

export const settingsText = (name: string): string => readFileSync(join(ENVIRONMENTS, `${name}.yaml`), "utf8");

/** production with two replicas and their database: what settings refuse until the packages can run it. */
export const replicasText = (): string =>
  settingsText("production")
    .replaceAll("environment: production", "environment: replicas")
    .replace(
      "  instanceType: m7g.large\n",
      "  instanceType: m7g.large\n  replicas: 2\n  database: { instanceClass: db.m7g.large, storageGb: 100 }\n",
    );

let cas: Readonly<Record<"root" | "infrastructure" | "device", string>> | undefined;
/** A root, as the registry's init would have had it signed, and CAs below it, as somebody brings them. */
const casOfTheirs = () => {
  cas ??= withCas(({ self, below }) => ({
    root: self("root"),
    infrastructure: below("infrastructure", "root"),
    device: below("device", "root"),
  }));
  return cas;
};

/** production with its CAs' keys in KMS. @param root whether the root that was made there is named already */
export const kmsText = (root: boolean): string =>
  settingsText("production")
    .replaceAll("environment: production", "environment: kms")
    .replace("endpoints: [", "endpoints: [kms, ")
    .replace(/^pki: .*$/m, `pki: ${JSON.stringify({ kind: "kms", ...(root ? { root: casOfTheirs().root } : {}) })}`);

/** trial, protected, with its device CA in AWS Private CA; the root's key is at hand, as at the first deploy. */
const privateCaText = (): string =>
  settingsText("trial")
    .replaceAll("environment: trial", "environment: private-ca")
    .replace("protection: false", "protection: true")
    .replace(/^pki: .*$/m, `pki: ${JSON.stringify({ kind: "tls", organization: "Example", rootAtHand: true, deviceCa: "acmPca" })}`);

/** production with certificates from elsewhere, and one image that is named. */
const ownText = (): string =>
  settingsText("production")
    .replaceAll("environment: production", "environment: own")
    .replace("image: 13", "image: ami-0123456789abcdef0")
    .replace(/^pki: .*$/m, `pki: ${JSON.stringify({ kind: "own", ...casOfTheirs() })}`);

export const ENVIRONMENT_NAMES = ["production", "trial", "single-zone", "replicas", "kms", "private-ca", "own"] as const;
export type EnvironmentName = (typeof ENVIRONMENT_NAMES)[number];
let made: ReadonlyMap<EnvironmentName, Synthesis> | undefined;

/** Every environment of the project, synthesised once for all tests of a process. */
export function synthesised(name: EnvironmentName): Synthesis {
  made ??= synthesiseAll();
  const synthesis = made.get(name);
  if (synthesis === undefined) throw new RangeError(`There is no ${name}`);
  return synthesis;
}

const textOf = (name: EnvironmentName): string => {
  if (name === "replicas") return replicasText();
  if (name === "private-ca") return privateCaText();
  if (name === "own") return ownText();
  return name === "kms" ? kmsText(true) : settingsText(name);
};

function synthesiseAll(): ReadonlyMap<EnvironmentName, Synthesis> {
  const folder = mkdtempSync(join(tmpdir(), "eos-aws-"));
  try {
    const names = ENVIRONMENT_NAMES;
    const settings = names.map((name) => parseAws(`${name}.yaml`, textOf(name), { replicas: name === "replicas" }));
    const { syntheses } = synthesise(settings, folder);
    return new Map(names.map((name, index) => [name, syntheses[index] as Synthesis]));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** JSON that may be changed. */
export type Open = { [key: string]: Open | Json };
export interface OpenSynthesis {
  readonly resource: (part: string, type: string, id: string) => Open;
  readonly stack: (part: string) => Open;
  /** Takes a resource away, or puts one there. */
  readonly put: (part: string, type: string, id: string, fields: Fields | null) => void;
  readonly synthesis: Synthesis;
}

/** A copy to break. */
export function copyOf({ settings, stacks }: Synthesis): OpenSynthesis {
  const copy = new Map(structuredClone([...stacks]));
  const stack = (part: string): Open => {
    const one = copy.get(part);
    if (one === undefined) throw new RangeError(`There is no stack ${part}`);
    return one as StackJson & Open;
  };
  const inside = (open: Open, key: string): Open => {
    open[key] ??= {};
    return open[key] as Open;
  };
  return {
    stack,
    resource: (part, type, id) => {
      const found = inside(inside(stack(part), "resource"), type)[id];
      if (found === undefined) throw new RangeError(`There is no ${part} ${type}.${id}`);
      return found as Open;
    },
    put: (part, type, id, fields) => {
      const all = inside(inside(stack(part), "resource"), type);
      if (fields === null) delete all[id];
      else all[id] = fields;
    },
    synthesis: { settings, stacks: copy },
  };
}

/** A file that an instance of production writes when it first starts. */
export function fileOf(part: string, id: string, path: string): string {
  const instance = resourcesOf(synthesised("production"), "aws_instance").find((resource) => resource.part === part && resource.id === id);
  const [, written = ""] = String(instance?.fields.user_data).split(`/dev/stdin ${path} <<'END_OF_ENTITYOS_FILE'\n`);
  return written.slice(0, written.indexOf("END_OF_ENTITYOS_FILE"));
}
