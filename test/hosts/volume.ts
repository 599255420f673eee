import { createPrivateKey } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../lab/exec.ts";
import type { Machine } from "./machine.ts";

/** A block device of a machine's, on a file: what EBS is to an instance. */
export interface Volume extends AsyncDisposable {
  /** Its name inside. */
  readonly device: string;
  /** Every byte of it that was ever written and not written over, deleted files too. */
  bytes(): Promise<Buffer>;
}

/** Attaches an empty volume. */
export async function attachVolume(machine: Machine): Promise<Volume> {
  const file = join(machine.options.folder, "volume");
  await run(["truncate", "--size", "64M", file]);
  const loop = (await run(["losetup", "--find", "--show", file])).trim();
  // Detached while it is open here: it ends with the last who has it open or mounted, however that ends.
  const held = openSync(loop, "r");
  await run(["losetup", "--detach", loop]);
  const device = "/dev/volume";
  const [major, minor] = (await run(["stat", "--format", "%Hr %Lr", loop])).trim().split(" ");
  await machine.sh(`mknod ${device} b ${major} ${minor}`);
  return {
    device,
    bytes: async () => {
      await machine.sh("sync");
      return readFileSync(file);
    },
    async [Symbol.asyncDispose]() {
      closeSync(held);
    },
  };
}

/** How a private key may lie somewhere: a line of its PEM, its number as bytes. */
export function tracesOf(pem: string): readonly Buffer[] {
  const line = pem.split("\n").find((one) => one.length === 64) ?? "";
  const { d = "" } = createPrivateKey(pem).export({ format: "jwk" });
  return [Buffer.from(line), Buffer.from(d, "base64url")];
}

/** Files of a machine's disk that have a line of a key's PEM in them. */
export async function filesWith({ options }: Machine, pem: string): Promise<readonly string[]> {
  const [line = Buffer.alloc(0)] = tracesOf(pem);
  const found = await run([
    "grep",
    "--recursive",
    "--files-with-matches",
    "--text",
    "-F",
    "-e",
    String(line),
    join(options.folder, "upper"),
  ])
    // 1 is none.
    .catch((error: { code?: number }) => {
      if (error.code === 1) return "";
      throw error;
    });
  return found.split("\n").filter((one) => one !== "");
}
