/** A table's sets, chains and rules as a value: printed for people and tests, or turned into commands for nft. */
export interface Structure {
  readonly table: string;
  /** Table flags such as "owner"; null when there are none. */
  readonly flags: string | null;
  readonly sets: readonly SetDefinition[];
  readonly chains: readonly ChainDefinition[];
}

export interface SetDefinition {
  readonly name: string;
  /** What stands between its braces: "type ipv4_addr; flags timeout;". */
  readonly body: string;
}

export interface ChainDefinition {
  readonly name: string;
  /** "type filter hook input priority filter; policy drop;", null for a chain that is jumped to. */
  readonly hook: string | null;
  /** Rules in nft(8) syntax, in order. */
  readonly rules: readonly string[];
}

/**
 * Commands that bring the table to this structure, whatever rules its chains held. In one transaction no packet sees a part of it.
 * Chains that the structure does not name stay.
 */
export function structureCommands(structure: Structure): string[] {
  const { table, flags, sets, chains } = structure;
  return [
    `add table inet ${table}${flags === null ? "" : ` { flags ${flags}; }`}`,
    ...sets.map((set) => addSet(table, set)),
    ...chains.map((chain) => `add chain inet ${table} ${chain.name}${chain.hook === null ? "" : ` { ${chain.hook} }`}`),
    ...chains.flatMap((chain) => refill(table, chain)),
  ];
}

/** Empties a chain and writes its rules anew. */
export function refill(table: string, chain: ChainDefinition): string[] {
  return [`flush chain inet ${table} ${chain.name}`, ...chain.rules.map((rule) => `add rule inet ${table} ${chain.name} ${rule}`)];
}

export function addSet(table: string, set: SetDefinition): string {
  return `add set inet ${table} ${set.name} { ${set.body} }`;
}

/** The structure as text that `nft -f` loads. Chains come after those that they jump to. */
export function structureText(structure: Structure): string {
  const lines = [`table inet ${structure.table} {`];
  if (structure.flags !== null) lines.push(`  flags ${structure.flags}`);
  for (const set of structure.sets) lines.push(`  set ${set.name} { ${set.body} }`);
  for (const chain of structure.chains) {
    lines.push("", `  chain ${chain.name} {`);
    if (chain.hook !== null) lines.push(`    ${chain.hook}`);
    lines.push(...chain.rules.map((rule) => `    ${rule}`), "  }");
  }
  lines.push("}");
  return `${lines.join("\n")}\n`;
}
