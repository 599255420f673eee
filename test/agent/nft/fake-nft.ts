import { isIPv4, isIPv6 } from "node:net";
import type { Nft } from "../../../agent/nft/child.ts";
import { NftError } from "../../../agent/nft/error.ts";

interface FakeSet {
  readonly body: string;
  readonly elements: Map<string, number | null>;
}
interface FakeTable {
  readonly sets: Map<string, FakeSet>;
  readonly chains: Map<string, string[]>;
}

/** Tables, sets, chains and elements in memory; takes the commands that the agent gives and refuses what nft refuses (test/contract/nft.contract.ts). */
export class FakeNft implements Nft {
  readonly scripts: string[] = [];
  #tables = new Map<string, FakeTable>();
  /** Errors to be met by the next scripts, in order. */
  readonly failures: NftError[] = [];

  async run(script: string): Promise<void> {
    this.scripts.push(script);
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    const before = structuredClone(this.#tables);
    try {
      const commands = script.startsWith("{") ? fromJson(script) : script.split(/\n|; (?=[a-z]+ [a-z]+ inet)/);
      for (const command of commands) this.#command(command);
    } catch (error) {
      this.#tables = before;
      throw error;
    }
  }

  async query(command: string): Promise<unknown[]> {
    const kind = command === "list sets inet" ? "sets" : "chains";
    const listed = [...this.#tables].flatMap(([table, contents]) =>
      [...contents[kind].keys()].map((name) => ({ [kind.slice(0, -1)]: { family: "inet", table, name } })),
    );
    return [{ nftables: [{ metainfo: { version: "fake" } }, ...listed] }];
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Elements of a set with their lives in seconds, undefined when there is no such set. */
  elements(table: string, set: string): Record<string, number | null> | undefined {
    const found = this.#tables.get(table)?.sets.get(set);
    return found === undefined ? undefined : Object.fromEntries(found.elements);
  }

  chain(table: string, name: string): readonly string[] {
    return this.#tables.get(table)?.chains.get(name) ?? [];
  }

  names(table: string, kind: "sets" | "chains"): string[] {
    return [...(this.#tables.get(table)?.[kind].keys() ?? [])];
  }

  /** Another program's flush. */
  flush(): void {
    this.#tables.clear();
  }

  #command(text: string): void {
    const [, verb, kind, table = "", rest = ""] = /^(\w+) (\w+) inet (\S+) ?(.*)$/s.exec(text) ?? [];
    const call = `${verb} ${kind}`;
    if (call === "add table") {
      if (!this.#tables.has(table)) this.#tables.set(table, { sets: new Map(), chains: new Map() });
      return;
    }
    const contents = this.#tables.get(table);
    if (contents === undefined && KNOWN.includes(call)) throw missing(text);
    if (contents === undefined) throw new NftError("syntax", text);
    const [, name = "", tail = ""] = /^(\S+) ?(.*)$/s.exec(rest) ?? [];
    if (call === "delete table") this.#tables.delete(table);
    else if (call === "add set") addSet(contents, name, tail);
    else if (call === "delete set") deleteSet(contents, name, text);
    else if (call === "add chain") contents.chains.set(name, contents.chains.get(name) ?? []);
    else if (call === "flush chain") present(contents.chains, name, text).length = 0;
    else if (call === "delete chain") deleteChain(contents, name, text);
    else if (call === "add rule") addRule(contents, name, tail, text);
    else if (call === "add element") addElements(present(contents.sets, name, text), tail);
    else if (call === "delete element") deleteElements(present(contents.sets, name, text), tail);
    else throw new NftError("syntax", text);
  }
}

const KNOWN = [
  "delete table",
  "add set",
  "delete set",
  "add chain",
  "flush chain",
  "delete chain",
  "add rule",
  "add element",
  "delete element",
];
const missing = (text: string) => new NftError("missing", `No such file or directory: ${text.slice(0, 100)}`);

function present<T>(map: ReadonlyMap<string, T>, name: string, text: string): T {
  const found = map.get(name);
  if (found === undefined) throw missing(text);
  return found;
}

function addSet({ sets }: FakeTable, name: string, body: string): void {
  const old = sets.get(name);
  if (old !== undefined && old.body !== body) throw new NftError("exists", `File exists: ${name}`);
  if (old === undefined) sets.set(name, { body, elements: new Map() });
}

function deleteSet(table: FakeTable, name: string, text: string): void {
  present(table.sets, name, text);
  if ([...table.chains.values()].flat().some((rule) => references(rule, "@").includes(name))) throw new NftError("busy", text);
  table.sets.delete(name);
}

function deleteChain(table: FakeTable, name: string, text: string): void {
  present(table.chains, name, text);
  const jumped = [...table.chains.values()].flat().some((rule) => references(rule, "jump ").includes(name));
  if (jumped) throw new NftError("busy", text);
  table.chains.delete(name);
}

function addRule(table: FakeTable, name: string, rule: string, text: string): void {
  const rules = present(table.chains, name, text);
  for (const set of references(rule, "@")) present(table.sets, set, text);
  for (const chain of references(rule, "jump ")) present(table.chains, chain, text);
  rules.push(rule);
}

const references = (rule: string, word: "@" | "jump "): string[] =>
  [...rule.matchAll(word === "@" ? /@(\w+)/g : /jump (\w+)/g)].map((match) => match[1] ?? "");

function listOf(tail: string): (readonly [string, number | null])[] {
  const inside = /^\{ (.*) \}$/s.exec(tail)?.[1];
  if (inside === undefined) throw new NftError("syntax", tail.slice(0, 100));
  return inside.split(/,\s+/).map((item) => {
    const match = /^(\S+)(?: timeout (\d+)s)?$/.exec(item);
    if (match === null) throw new NftError("syntax", item);
    // To nft a timeout of 0 is none.
    return [match[1] ?? "", Number(match[2] ?? 0) || null] as const;
  });
}

function addElements(set: FakeSet, tail: string): void {
  for (const [address, lifeS] of listOf(tail)) {
    const fits = set.body.includes("ipv6_addr") ? isIPv6(address) : isIPv4(address);
    if (!fits) throw new NftError("syntax", `Could not resolve: ${address}`);
    // Kernels before 6.12 keep the life of an element that is added again.
    if (!set.elements.has(address)) set.elements.set(address, lifeS);
  }
}

function deleteElements(set: FakeSet, tail: string): void {
  for (const [address] of listOf(tail)) if (!set.elements.delete(address)) throw missing(address);
}

interface JsonElement {
  readonly table: string;
  readonly name: string;
  readonly elem: readonly (string | { readonly elem: { readonly val: string; readonly timeout: number } })[];
}

/** The element commands of libnftables-json(5) as native text. */
function fromJson(script: string): string[] {
  let document: { nftables: Record<string, { element: JsonElement }>[] };
  try {
    document = JSON.parse(script);
  } catch (cause) {
    throw new NftError("syntax", "no JSON", { cause });
  }
  return document.nftables.flatMap((command) =>
    Object.entries(command).map(([verb, { element }]) => {
      const items = element.elem.map((item) => (typeof item === "string" ? item : `${item.elem.val} timeout ${item.elem.timeout}s`));
      return `${verb} element inet ${element.table} ${element.name} { ${items.join(", ")} }`;
    }),
  );
}
