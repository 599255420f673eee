import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PLACES, SEAMS, SHIPPED } from "./layering.rules.ts";
import { brokenRules, commentsOf, importsOf, type Rules } from "./layering.ts";

const ROOT = join(import.meta.dirname, "..");
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { dependencies: Record<string, string> };
const RULES: Rules = { places: PLACES, seams: SEAMS, shipped: SHIPPED, dependencies: Object.keys(manifest.dependencies) };

describe("the layering", () => {
  it("holds in the whole tree", () => {
    const files = globSync("{lib,agent,registry,infra,scripts,test}/**/*.ts", { cwd: ROOT }).sort();
    const tree = new Map(files.map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));
    expect(tree.size).to.be.greaterThan(40);
    expect(brokenRules(tree, RULES)).to.deep.equal([]);
  });

  it("lets a sound tree pass", () => {
    const tree = {
      "lib/ip.ts": `import ipaddr from "ipaddr.js";\nimport { isIP } from "node:net";\n// as agents and registries write it`,
      "agent/config.ts": `import { ip } from "../lib/ip.ts";`,
      "agent/nft/gate.ts": `import type { Config } from "../config.ts";\n/** What config.ts allows. */`,
      "agent/main.ts": `import { render } from "./nft/gate.ts";\nexport { ip } from "../lib/ip.ts";`,
      "infra/main.ts": `import { render } from "../agent/nft/gate.ts";\nimport type { A } from "../agent/target.ts";`,
      "agent/target.ts": "export type A = 1;",
      "test/agent/main.test.ts": `import "../../agent/main.ts";\nimport { spawn } from "node:child_process";`,
    };
    expect(brokenRules(new Map(Object.entries(tree)), RULES)).to.deep.equal([]);
  });

  const broken: readonly [rule: string, file: string, source: string, told: string][] = [
    [
      "lib imports nothing above it",
      "lib/ip.ts",
      `import { a } from "../agent/config.ts";`,
      "lib/ip.ts imports agent/config.ts: lib may not",
    ],
    [
      "a type is an import too",
      "lib/ip.ts",
      `import type { A } from "../registry/config.ts";`,
      "lib/ip.ts imports registry/config.ts: lib may not",
    ],
    [
      "an import may span lines",
      "lib/ip.ts",
      `import {\n  a,\n  b,\n} from "../agent/config.ts";`,
      "lib/ip.ts imports agent/config.ts: lib may not",
    ],
    ["a re-export is an import", "lib/ip.ts", `export * from "../agent/config.ts";`, "lib/ip.ts imports agent/config.ts: lib may not"],
    [
      "a dynamic import is an import",
      "lib/ip.ts",
      `const a = await import("../agent/config.ts");`,
      "lib/ip.ts imports agent/config.ts: lib may not",
    ],
    ["a side effect is an import", "lib/ip.ts", `import "../agent/config.ts";`, "lib/ip.ts imports agent/config.ts: lib may not"],
    [
      "agent and registry never meet",
      "agent/config.ts",
      `import { a } from "../registry/config.ts";`,
      "agent/config.ts imports registry/config.ts: agent/base may not",
    ],
    [
      "the agent's parts never import each other",
      "agent/nft/set.ts",
      `import { a } from "../feed/client.ts";`,
      "agent/nft/set.ts imports agent/feed/client.ts: agent/nft may not",
    ],
    [
      "the reconciler knows only targets",
      "agent/reconciler.ts",
      `import { a } from "./nft/set.ts";`,
      "agent/reconciler.ts imports agent/nft/set.ts: agent/reconciler may not",
    ],
    [
      "register does not reach Process",
      "registry/http/server.ts",
      `import { a } from "../process/process.ts";`,
      "registry/http/server.ts imports registry/process/process.ts: registry/http may not",
    ],
    [
      "the command line makes CSRs and knows nothing else of the CA",
      "registry/cli/main.ts",
      `import { a } from "../ca/sign.ts";`,
      "registry/cli/main.ts imports registry/ca/sign.ts: registry/cli may not",
    ],
    [
      "nothing imports the tests",
      "lib/ip.ts",
      `import { a } from "../test/layering.ts";`,
      "lib/ip.ts imports test/layering.ts: lib may not",
    ],
    [
      "infra takes no effects from the agent",
      "infra/main.ts",
      `import { a } from "../agent/state.ts";`,
      "infra/main.ts imports agent/state.ts: infra may not",
    ],
    [
      "an outside thing has one seam",
      "agent/reconciler.ts",
      `import { spawn } from "node:child_process";`,
      `agent/reconciler.ts imports node:child_process: only ${SEAMS["node:child_process"]?.source} may`,
    ],
    [
      "a seam covers the package's own folders",
      "lib/ip.ts",
      `import { Vpc } from "@cdktf/provider-aws/lib/vpc/index.js";`,
      "lib/ip.ts imports @cdktf/provider-aws: only ^infra\\/ may",
    ],
    [
      "programs import dependencies only",
      "lib/ip.ts",
      `import fc from "fast-check";`,
      "lib/ip.ts imports fast-check, which is not in dependencies",
    ],
    ["every file has a place", "tools/new.ts", "export const a = 1;", "tools/new.ts has no place in the order"],
    ["an import leads somewhere", "lib/ip.ts", `import { a } from "./absent.ts";`, "lib/ip.ts imports lib/absent.ts, which is not there"],
    [
      "comments do not mention what is above",
      "lib/ip.ts",
      "/** For agent/config.ts. */",
      "lib/ip.ts mentions agent/config.ts in a comment, which stands above lib",
    ],
    [
      "nor by the file's name alone",
      "lib/ip.ts",
      "const a = 1; // as reconciler.ts wants it",
      "lib/ip.ts mentions agent/reconciler.ts in a comment, which stands above lib",
    ],
  ];
  const around = {
    "agent/config.ts": "",
    "agent/state.ts": "",
    "agent/reconciler.ts": "",
    "agent/nft/set.ts": "",
    "agent/feed/client.ts": "",
    "registry/config.ts": "",
    "registry/process/process.ts": "",
    "registry/ca/sign.ts": "",
    "test/layering.ts": "",
  };
  for (const [rule, file, source, told] of broken) {
    it(`tells when it is broken: ${rule}`, () => {
      expect(brokenRules(new Map(Object.entries({ ...around, [file]: source })), RULES)).to.deep.equal([told]);
    });
  }

  it("reads imports and comments apart from strings", () => {
    const source = `import a from "x"; // one\nconst b = "// two";\nconst c = \`/* three */\`;\n/* four */`;
    expect(importsOf(source)).to.deep.equal([{ from: "x", typeOnly: false }]);
    expect(commentsOf(source)).to.deep.equal(["// one", "/* four */"]);
  });
});
