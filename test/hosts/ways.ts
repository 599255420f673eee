import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { stringify } from "yaml";
import { reaches } from "./install.ts";
import type { Machine } from "./machine.ts";
import type { Stand } from "./stand.ts";

const OPERATIONS = readFileSync(join(import.meta.dirname, "../../docs/operations.md"), "utf8");

/** What is ours on a machine: mode, owner and path of each file and link, and SHA-256 of what is no key, certificate or version. */
export interface Made {
  readonly tree: readonly string[];
  readonly contents: readonly string[];
  /** What its programs make of its configuration; empty at a registry. */
  readonly rendered: string;
}

export async function madeOf(machine: Machine): Promise<Made> {
  const lines = async (script: string) => (await machine.sh(`${script} | sort`)).split("\n").filter((line) => line !== "");
  const places = `{ find /etc /usr -name '*entityos*' -prune -print; find /var/lib -maxdepth 1 -name 'entityos-[ar]*'; }`;
  const below = (words: string) => `${places} | while read -r place; do find "$place" ${words}; done`;
  return {
    // What is below the state folders is of its time.
    tree: (await lines(below("-printf '%M %u:%g %p %l\\n'")))
      .map((line) => line.trim())
      .filter((line) => !/ \/var\/lib\/[^/]+\//.test(line)),
    contents: await lines(
      below(
        String.raw`\( -path '/etc/*' -o -path '/usr/*' \) -type f ! -name '*.key' ! -name '*.crt' ! -name '*.csr' ! -name '*.pem' ! -name changelog.gz -exec sha256sum {} +`,
      ),
    ),
    rendered: await machine.sh("[ ! -e /usr/sbin/entityos-agent ] || { entityos-agent render nft; entityos-agent render haproxy; }"),
  };
}

/** Machines as the metal stack made them, by name. */
const byMetal = new Map<string, Made>();

export async function remember(machine: Machine): Promise<void> {
  byMetal.set(machine.name, await madeOf(machine));
}

export interface Compared {
  readonly more: readonly string[];
  readonly less: readonly string[];
  /** Whether its programs make the same of its configuration. */
  readonly rendered: boolean;
}

/**
 * What a machine has more and less than when the metal stack had made it.
 * @param without files whose bytes are the operator's own
 */
export async function comparedWithMetal(machine: Machine, without?: RegExp): Promise<Compared> {
  const [was, is] = [byMetal.get(machine.name), await madeOf(machine)];
  if (was === undefined) throw new Error(`${machine.name} was never made by the metal stack`);
  const all = ({ tree, contents }: Made) => [...tree, ...contents.filter((line) => without?.test(line) !== true)];
  const only = (one: readonly string[], other: readonly string[]) => one.filter((line) => !other.includes(line)).sort();
  return { more: only(all(is), all(was)), less: only(all(was), all(is)), rendered: is.rendered === was.rendered };
}

/** The commands of docs/operations.md behind these words, without their comments. */
function commandsBehind(words: string): readonly string[] {
  const [, block = ""] = /```sh\n([\s\S]*?)```/.exec(OPERATIONS.slice(OPERATIONS.indexOf(words))) ?? [];
  return block.split("\n").flatMap((line) => line.replace(/\s+#.*$/, "") || []);
}

const FOLDER = "/root/by-hand";

/** What an enrolment leaves where nobody takes it away. */
export const REQUESTS = ["agent.csr", "service.csr"].map((name) => `-rw-r--r-- root:root /etc/entityos-agent/${name}`);

/** Does as the documentation says, line by line; files are written and copied as an operator would. */
async function byHand({ registry, gates, metal }: Stand): Promise<Machine> {
  const [gate = registry] = gates;
  const settings = await metal.configured();
  const input = settings.agents.find(({ connection }) => connection.name === gate.name)?.input;
  const own = (line: string) =>
    line
      .replaceAll("web-1", gate.name)
      .replaceAll("app.example", `${gate.v4},${gate.v6}`)
      .replace("_amd64.deb", "_$(dpkg --print-architecture).deb")
      .replace(/^apt install/, "cd /dist/1; DEBIAN_FRONTEND=noninteractive apt-get -y -q install");
  const copy = async (from: Machine, pattern: string, to: Machine, folder: string) => {
    for (const file of (await from.sh(`ls ${pattern}`)).trim().split("\n"))
      await to.sh(`mkdir -p ${folder}; cat >${folder}/${file.split("/").at(-1)}`, { input: await from.sh(`cat ${file}`) });
  };
  const perform = async (machine: Machine, line: string, config: unknown) => {
    const [program, first = ""] = line.split(" ");
    if (program === "editor") await machine.sh(`cat >${first}`, { input: stringify(config) });
    else if (program === "scp" && first.includes(":")) await copy(gate, first.slice(first.indexOf(":") + 1), registry, FOLDER);
    else if (program === "scp") await copy(registry, `${FOLDER}/${own(first)}`, gate, "/etc/entityos-agent");
    else await machine.sh(`mkdir -p ${FOLDER}; cd ${FOLDER}; ${own(line)}`, { timeoutMs: 300_000 });
  };
  const [few, more] = [commandsBehind("A registry, in five commands"), commandsBehind("A host behind the gate, in ten")];
  expect([few.length, more.length]).to.deep.equal([5, 10]);
  for (const line of few) await perform(registry, line, settings.registry.input);
  for (const line of more) await perform(/^entityos agent (enroll|list)/.test(line) ? registry : gate, line, input);
  return gate;
}

/** Hosts that are made as the documentation says, and taken away again. */
export function byHandScenes(of: () => Stand): void {
  it("are made by hand, command by command of the documentation, what the metal stack makes of them", async () => {
    const stand = of();
    const gate = await byHand(stand);
    await reaches(gate, "enforcing");
    expect(await comparedWithMetal(gate, /agent\.yaml$/)).to.deep.equal({ more: REQUESTS, less: [], rendered: true });
    expect(await comparedWithMetal(stand.registry, /registry\.yaml$/)).to.deep.equal({ more: [], less: [], rendered: true });
    for (const machine of [gate, stand.registry]) {
      await machine.sh(`rm -r ${FOLDER} 2>/dev/null; DEBIAN_FRONTEND=noninteractive apt-get -y -q purge 'entityos-*'`);
      expect(await madeOf(machine)).to.deep.equal({ tree: [], contents: [], rendered: "" });
    }
  });
}
