import { commandLine, processIds } from "../lab/command-line.ts";
import type { Machine } from "./machine.ts";

/** Between two looks at the list of processes. */
const EVERY_MS = 50;
/** Of base64 no shorter piece is looked for: it could be in anything. */
const SHORTEST = 24;

/** A secret in every form in which it could be written down. */
export interface Secret {
  readonly what: string;
  readonly forms: readonly string[];
}

/** Command lines of every process of this machine, those inside of booted ones among them. */
export class CommandLines {
  readonly seen = new Set<string>();
  /** By number: how often it was looked at. A process that was just made still has its maker's words. */
  #looks = new Map<number, number>();

  /** Looks until it is disposed. */
  watch(): Disposable {
    const timer = setInterval(() => this.#look(), EVERY_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  #look(): void {
    const looks = new Map<number, number>();
    for (const pid of processIds()) {
      const times = this.#looks.get(pid) ?? 0;
      looks.set(pid, times + 1);
      if (times < 3) this.seen.add(commandLine(pid));
    }
    this.#looks = looks;
  }
}

/** Every private key in a file of a machine. */
export async function keysOf(machine: Machine): Promise<readonly Secret[]> {
  const said = await machine.sh(
    `grep -rlI -e '-----BEGIN [A-Z ]*PRIVATE KEY-----' /etc /var/lib/entityos* /root /home 2>/dev/null | while read -r file; do echo "= $file"; cat "$file"; done`,
  );
  return said
    .split(/^= /m)
    .slice(1)
    .map((part) => {
      const [file = "", ...lines] = part.split("\n");
      const body = lines.filter((line) => /^[A-Za-z0-9+/]+=*$/.test(line));
      const bytes = Buffer.from(body.join(""), "base64");
      const forms = [...body.filter((line) => line.length >= SHORTEST), bytes.toString("hex"), bytes.toString("base64")];
      return { what: `${machine.name}:${file.trim()}`, forms };
    });
}

export const codeSecret = (code: string): Secret => ({ what: "a security code", forms: [code, code.replaceAll("-", "")] });

/** Which secrets stand in a text. */
export const foundIn = (text: string, secrets: readonly Secret[]): readonly string[] =>
  secrets.filter(({ forms }) => forms.some((form) => text.includes(form))).map(({ what }) => what);

/** All that a machine wrote down of what went on: its journal, and the files of /var/log. */
export const logsOf = (machine: Machine): Promise<string> =>
  machine.sh("journalctl --no-pager -a -o export; find /var/log -type f ! -path '/var/log/journal/*' -exec cat {} +");
