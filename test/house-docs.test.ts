import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { parse } from "yaml";
import { parseAgentConfig } from "../agent/config.ts";
import { CLOSE, FEED } from "../lib/feed/limits.ts";
import { VERSION } from "../lib/version.ts";
import { parseRegistryConfig } from "../registry/config.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const protocol = read("docs/protocol.md");
const documents = ["README.md", "CHANGELOG.md", ...globSync("docs/**/*.md", { cwd: ROOT })];

/** Every problem that the registry can answer with: "STATUS CODE". The command line's own codes go nowhere but to its user. */
function problemsInSource(): Set<string> {
  const files = globSync("{lib,registry}/**/*.ts", { cwd: ROOT, exclude: (name) => name.endsWith("registry/cli") });
  const found = files.flatMap((file) => [...read(file).matchAll(/new Problem\(\s*(\d{3}),\s*"([a-z0-9_]+)"/g)]);
  const special = [...read("registry/rules/special.ts").matchAll(/code: "(address_[a-z_]+)"/g)].map(([, code]) => `422 ${code}`);
  const mapped = ["registry/http/problems.ts", "registry/admin/problems.ts"].flatMap((file) =>
    [...read(file).matchAll(/\[(\d{3}), (?:"[A-Z][^"]*", )?"([a-z0-9_]+)",/g)].map(([, status, code]) => `${status} ${code}`),
  );
  return new Set([...mapped, ...found.map(([, status, code]) => `${status} ${code}`), ...special]);
}

/** A commented configuration with everything put in force: "#key" and "#  key" are keys, "# Text" is text. */
const inForce = (file: string): string => read(file).replace(/^#(?! \S)/gm, "");

describe("the documents", () => {
  it("comment every key of both configurations, with the value that it has when it is left out", () => {
    const agent = inForce("agent/systemd/agent.yaml");
    expect(parseAgentConfig("agent.yaml", agent)).to.deep.equal(parse(agent));
    expect(parse(agent)).to.deep.equal(parseAgentConfig("needed", `{ name: host-1, registry: ${JSON.stringify(parse(agent).registry)} }`));
    const registry = inForce("registry/systemd/registry.yaml");
    expect(parseRegistryConfig("registry.yaml", registry)).to.deep.equal(parse(registry));
    expect(parse(registry)).to.deep.equal(parseRegistryConfig("needed", "{ name: register.example }"));
  });

  it("tell every problem that the registry answers with, and none that it does not", () => {
    const told = [...protocol.matchAll(/^\| `([a-z0-9_]+)` \| (\d{3}) \| .+ \|$/gm)].map(([, code, status]) => `${status} ${code}`);
    expect(told.length).to.equal(new Set(told).size);
    expect(told.sort()).to.deep.equal([...problemsInSource()].sort());
  });

  it("tell every close code of the feed and none that it does not have", () => {
    const told = [...protocol.matchAll(/^\| (4\d{3}) \| /gm)].map(([, code]) => Number(code));
    expect(told.sort()).to.deep.equal(Object.values(CLOSE).sort());
  });

  it("tell the feed's limits as they are", () => {
    for (const value of [FEED.maxMessageBytes, FEED.maxChangesPerMessage, FEED.maxRulesPerChunk, FEED.maxRules]) {
      expect(protocol).to.include(value.toLocaleString("en-GB"));
    }
    const each = (of: object): string =>
      Object.values(of)
        .map((value: number) => value.toLocaleString("en-GB"))
        .join(", ");
    expect(protocol).to.include(`| trust entries of target \`ca\`, \`crl\`, \`certificate\`, \`binding\` | ${each(FEED.maxTrustOf)} |`);
    expect(protocol).to.include(`| ${each(FEED.maxTrustBody)} characters |`);
    expect(protocol).to.include(FEED.subprotocol);
    expect(protocol).to.include(`| heartbeat | ${FEED.heartbeatMs / 1000} s `);
  });

  it("link to files that are there", () => {
    const links = documents.flatMap((file) =>
      [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, to]) => join(dirname(file), to ?? "")),
    );
    expect(links.length).to.be.greaterThan(5);
    expect(links.filter((link) => globSync(link, { cwd: ROOT }).length === 0)).to.deep.equal([]);
  });

  it("name test files and sources that are there", () => {
    const named = documents.flatMap((file) =>
      [...read(file).matchAll(/`((?:agent|registry|lib|infra|test|scripts)\/[\w./-]+\.(?:ts|cjs|yaml))`/g)].map(([, path]) => path ?? ""),
    );
    expect(named.length).to.be.greaterThan(5);
    expect([...new Set(named)].filter((path) => globSync(path, { cwd: ROOT }).length === 0)).to.deep.equal([]);
  });

  it("number decisions from 1 on, each once, as their headings do", () => {
    const files = globSync("docs/decisions/*.md", { cwd: ROOT }).sort();
    expect(files.length).to.be.greaterThan(5);
    const named = files.map((file) => Number(/\/(\d{4})-[a-z0-9-]+\.md$/.exec(file)?.[1]));
    expect(named).to.deep.equal(files.map((_, index) => index + 1));
    expect(files.map((file) => Number(/^# (\d+)\. \S/.exec(read(file))?.[1]))).to.deep.equal(named);
  });

  it("refer to decisions that are there", () => {
    const sources = [...documents, ...globSync("{agent,registry,lib,infra,test,scripts}/**/*.{ts,yaml}", { cwd: ROOT })];
    const named = sources.flatMap((file) => [...read(file).matchAll(/\bdecisions\/(\d{4}-[a-z0-9-]+\.md)/g)].map(([, name]) => name ?? ""));
    expect([...new Set(named)].filter((name) => globSync(`docs/decisions/${name}`, { cwd: ROOT }).length === 0)).to.deep.equal([]);
  });

  it("leave no place to be filled in", () => {
    expect(documents.filter((file) => read(file).includes("<!--"))).to.deep.equal([]);
  });

  it("say what npm's scripts are called", () => {
    const { scripts, version } = JSON.parse(read("package.json")) as { scripts: Record<string, string>; version: string };
    const called = documents.flatMap((file) => [...read(file).matchAll(/\bnpm run ([a-z:]+)/g)].map(([, name]) => name ?? ""));
    expect([...new Set(called)].filter((name) => !(name in scripts))).to.deep.equal([]);
    expect(version).to.equal(VERSION);
  });
});
