import { closeSync, cpSync, mkdtempSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";

const MIB = 16;

/** A small disk of its own (ext4 in a file) in the place of a folder, with what was in it; it fills up and fails as wished. */
export class SmallDisk implements Disposable {
  readonly #folder: string;
  readonly #home: string;

  private constructor(folder: string, home: string) {
    this.#folder = folder;
    this.#home = home;
  }

  /** Nobody may have files of the folder open. */
  static async under(folder: string): Promise<SmallDisk> {
    const home = mkdtempSync(join(tmpdir(), "entityos-disk-"));
    const disk = new SmallDisk(folder, home);
    const image = join(home, "image");
    await run(["truncate", "-s", `${MIB}M`, image]);
    await run(["mkfs.ext4", "-q", "-m", "0", image]);
    cpSync(folder, join(home, "content"), { recursive: true });
    await run(["mount", "-o", "loop", image, folder]);
    await run(["chmod", "700", folder]);
    for (const name of readdirSync(join(home, "content")))
      cpSync(join(home, "content", name), join(folder, name), { recursive: true, preserveTimestamps: true });
    await run(["sync", "-f", folder]);
    return disk;
  }

  /** Takes every byte that is left. */
  fill(): void {
    const ballast = openSync(join(this.#folder, "ballast"), "a");
    for (const bytes of [1 << 20, 4_096, 1]) {
      try {
        for (;;) writeSync(ballast, Buffer.alloc(bytes));
      } catch {
        // Full, to this many bytes.
      }
    }
    closeSync(ballast);
  }

  /** Gives them back. */
  empty(): void {
    rmSync(join(this.#folder, "ballast"), { force: true });
  }

  /** As the kernel does after an error on the disk: from now on everything that is written fails, in files that are open too. */
  async failReadOnly(): Promise<void> {
    await run(["mount", "-o", "remount,abort", this.#folder]);
  }

  /** The disk is repaired, with nobody using it. */
  async repair(): Promise<void> {
    // A program that was killed closes its files a moment after it is gone.
    const unmounted = () =>
      run(["umount", this.#folder]).then(
        () => true,
        () => undefined,
      );
    await waitFor("nobody to use the disk", unmounted, { everyMs: 100 });
    // 1: errors were corrected.
    await run(["sh", "-c", 'e2fsck -fy "$0" >/dev/null || [ $? = 1 ]', join(this.#home, "image")]);
    await run(["mount", "-o", "loop", join(this.#home, "image"), this.#folder]);
  }

  /** Once the lab is gone, which takes its mounts away. */
  [Symbol.dispose](): void {
    rmSync(this.#home, { recursive: true });
  }
}
