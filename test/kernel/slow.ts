import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** nft as it is on a host that is overloaded: a command takes as long as {@link SlowNft.delay} says. */
export class SlowNft implements Disposable {
  /** Comes before the real one's on the agent's PATH. */
  readonly folder = mkdtempSync(join(tmpdir(), "eos-slow-"));

  constructor() {
    const real = execFileSync("sh", ["-c", "command -v nft"], { encoding: "utf8" }).trim();
    this.delay(0);
    const lines =
      'while IFS= read -r line; do case "$line" in "" | describe*) ;; *) sleep "$(cat "$0.seconds")" ;; esac; echo "$line"; done';
    const program = `#!/bin/sh\n[ "$*" = "-t -j -i" ] || exec ${real} "$@"\n${lines} | ${real} "$@"\n`;
    writeFileSync(join(this.folder, "nft"), program);
    chmodSync(join(this.folder, "nft"), 0o755);
  }

  delay(seconds: number): void {
    writeFileSync(join(this.folder, "nft.seconds"), String(seconds));
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}
