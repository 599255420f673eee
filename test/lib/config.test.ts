import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import { ConfigError, cidrSchema, loadConfig, parseConfig, portSchema } from "../../lib/config.ts";

const schema = z.strictObject({
  name: z.string().min(1),
  listen: z.strictObject({ port: portSchema.default(443), networks: z.array(cidrSchema).default([]) }).prefault({}),
});

function problems(text: string): readonly string[] {
  try {
    parseConfig("test.yaml", text, schema);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("a configuration", () => {
  it("has every default and canonical networks, and is frozen throughout", () => {
    const config = parseConfig("test.yaml", "name: a\nlisten:\n  networks: ['2001:DB8::/32', 203.0.113.7]\n", schema);
    expect(config).to.deep.equal({ name: "a", listen: { port: 443, networks: ["2001:db8::/32", "203.0.113.7/32"] } });
    expect([config, config.listen, config.listen.networks].every(Object.isFrozen)).to.equal(true);
  });

  it("tells all problems together, each with its path", () => {
    expect(problems("name: ''\nlisten:\n  port: 65536\n  networks: [203.0.113.0/24, 203.0.113.7/24]\n  host: a\nlater: 1\n")).to.deep.equal(
      [
        "name: must not be empty",
        "listen.port: must be at most 65535",
        "listen.networks.1: The prefix has host bits set: did you mean 203.0.113.0/24?",
        'listen: unknown key "host"',
        '(whole file): unknown key "later"',
      ],
    );
  });

  it("names the file and each problem in its message", () => {
    expect(() => parseConfig("/etc/a.yaml", "name: a\nlisten: { port: 0 }", schema)).to.throw(
      ConfigError,
      "Cannot use /etc/a.yaml:\n  listen.port: must be at least 1",
    );
  });

  for (const [what, text, first] of [
    ["an empty file", "", /^name: /],
    ["a file of another shape", "- a\n", /^\(whole file\): /],
    ["what is no YAML", "name: [", /Flow sequence/],
    ["a key that is named twice", "name: a\nname: b\n", /Map keys must be unique/],
    ["two documents", "name: a\n---\nname: b\n", /multiple documents/],
    ["an alias, which could grow without bound", "name: &a b\nlisten: *a\n", /alias/i],
    ["more than 1 MiB", `name: ${"a".repeat(1 << 20)}`, /larger than 1 MiB/],
  ] as const) {
    it(`refuses ${what}`, () => {
      const [problem] = problems(text);
      expect(problem).to.match(first);
    });
  }

  describe("from a file", () => {
    const folder = mkdtempSync(join(tmpdir(), "eos-config-"));
    after(() => rmSync(folder, { recursive: true }));

    it("is read", () => {
      writeFileSync(join(folder, "a.yaml"), "name: a # with a comment\n");
      expect(loadConfig(join(folder, "a.yaml"), schema).name).to.equal("a");
    });

    it("tells a file that cannot be read", () => {
      expect(() => loadConfig(join(folder, "absent.yaml"), schema)).to.throw(ConfigError, "the file cannot be read (ENOENT");
    });
  });
});
