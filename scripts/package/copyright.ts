import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface Component {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly text: string;
}

/** npm packages whose sources a bundle holds: esbuild names each file above what it took from it. */
export function bundledPackages(bundle: string): string[] {
  const named = [...bundle.matchAll(/node_modules\/((?:@[\w.-]+\/)?[\w.-]+)\//g)].map(([, name]) => name ?? "");
  return [...new Set(named)].sort();
}

/** What a package says of copyright: the file that Debian asks for, and the licences' texts as they came with each part. */
export interface Copyright {
  readonly file: string;
  readonly texts: string;
}

/**
 * Debian Policy §12.5: the project's own licence, and of each bundled npm package name, version and licence.
 * @throws Error when one of them has no licence to name
 */
export function copyrightOf(root: string, name: string, bundled: readonly string[]): Copyright {
  const parts = bundled.map((part) => component(root, part));
  const listed = parts.map(({ name: part, version, licence }) => `  ${part} ${version}: ${licence}\n`).join("");
  return {
    file: `entityOS gate
Copyright: its authors
License: Apache-2.0; on Debian systems in /usr/share/common-licenses/Apache-2.0

The program also holds, unchanged, these packages of the npm registry:

${listed}
The text of each licence, with its copyright notice, is in
/usr/share/doc/${name}/licences.gz.
`,
    texts: parts.map(({ name: part, version, text }) => `==== ${part} ${version} ====\n\n${text.trim()}\n`).join("\n"),
  };
}

function component(root: string, name: string): Component {
  const folder = join(root, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string; license?: string };
  const [file] = globSync("{LICENSE,LICENCE,license,License,COPYING}*", { cwd: folder }).sort();
  const text = file === undefined ? null : readFileSync(join(folder, file), "utf8");
  if (license === undefined && text === null) throw new Error(`${name} names no licence`);
  return { name, version, licence: license ?? "its own, see there", text: text ?? "Its package has no licence file." };
}
