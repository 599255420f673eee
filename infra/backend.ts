import { LocalBackend, S3Backend, type TerraformStack } from "cdktf";
import { z } from "zod";

/** Name of an environment. */
export const nameSchema = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, "a name is 1 to 31 lower-case letters, digits and hyphens");

/** Where Terraform keeps its state; named in each environment, so that no path of one machine is ever written. */
export const backendSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("s3"), bucket: z.string().min(3).max(63), region: z.string().min(1) }),
  /** A folder relative to the stack's own; for trying out. */
  z.strictObject({ kind: z.literal("local"), folder: z.string().regex(/^[\w.-]+(\/[\w.-]+)*$/, "a folder is a relative path") }),
]);

/** Gives a stack its state's place, under the name of environment and stack. */
export function keepState(stack: TerraformStack, id: string, environment: string, backend: z.output<typeof backendSchema>): void {
  if (backend.kind === "local") new LocalBackend(stack, { path: `${backend.folder}/${id}.tfstate` });
  else {
    const key = `entityos-gate/${environment}/${id}.tfstate`;
    new S3Backend(stack, { bucket: backend.bucket, region: backend.region, key, encrypt: true });
    stack.addOverride("terraform.backend.s3.use_lockfile", true);
  }
}
