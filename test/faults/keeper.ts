import { spawn } from "node:child_process";
import { BIN } from "../lab/configs.ts";

/** Reads until whoever holds the other end is gone; takes the lab away when no last word came before. */
const SCRIPT = 'IFS= read -r word; [ "$word" = done ] || exec "$0" test/lab/main.ts down --name "$1"';

/** Takes the lab of this name away when this process is gone without disposing, however it ended. */
export function keepWatch(name: string): Disposable {
  const child = spawn("sh", ["-c", SCRIPT, BIN.run, name], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  child.unref();
  return {
    [Symbol.dispose]() {
      child.stdin.end("done\n");
    },
  };
}
