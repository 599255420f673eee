import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";

const MODULE = join(import.meta.dirname, "../../lib/log.ts");

/** Runs `code` with a log named "test" in a process of its own, whose standard error is what the log wrote. */
function logged(code: string, level = "info"): { lines: Record<string, unknown>[]; stdout: string; text: string } {
  const script = `import { createLog } from ${JSON.stringify(MODULE)}; const log = createLog("test"); ${code}`;
  const run = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
    env: { ...process.env, ENTITYOS_LOG: level },
  });
  expect(run.status, run.stderr).to.equal(0);
  const lines = run.stderr.split("\n").filter((line) => line !== "");
  return { lines: lines.map((line) => JSON.parse(line) as Record<string, unknown>), stdout: run.stdout, text: run.stderr };
}

describe("the log", () => {
  it("writes JSON lines on standard error and nothing on standard output", () => {
    const { lines, stdout } = logged(`log.info({ a: 1 }, "one"); log.debug({}, "two"); log.error({ err: new Error("three") }, "four");`);
    expect(lines.map(({ name, msg, a }) => ({ name, msg, a }))).to.deep.equal([
      { name: "test", msg: "one", a: 1 },
      { name: "test", msg: "four", a: undefined },
    ]);
    expect(lines[1]?.err).to.include({ message: "three" });
    expect(stdout).to.equal("");
  });

  it("keeps to the level of the environment", () => {
    expect(logged(`log.debug({}, "one"); log.info({}, "two");`, "debug").lines).to.have.length(2);
    expect(logged(`log.info({}, "one"); log.warn({}, "two");`, "warn").lines).to.have.length(1);
  });

  it("has every line written when the process ends at once", () => {
    expect(logged(`log.info({}, "last"); process.exit(0);`).lines).to.have.length(1);
  });

  it("writes no value that goes by a secret's name", () => {
    const names = ["code", "secret", "signature", "key", "proof", "authorization", "privateKey", "idempotencyKey", "password"];
    const fields = JSON.stringify(Object.fromEntries(names.map((name) => [name, "VERYSECRET"])));
    const { text, lines } = logged(`log.info(${fields}, "one"); log.info({ request: { tries: [${fields}] } }, "two");`);
    expect(text).not.to.include("VERYSECRET");
    expect(lines[0]).to.include({ code: "[redacted]", key: "[redacted]" });
  });

  it("does not follow what contains itself for ever", () => {
    const { lines } = logged(`const a = { n: 1 }; a.a = a; log.info({ a }, "one");`);
    expect(JSON.stringify(lines[0]?.a)).to.equal('{"n":1,"a":{"n":1,"a":{"n":1,"a":{"n":1,"a":{"n":1,"a":"[too deep]"}}}}}');
  });

  it("keeps the stable code of an error, which is no secret", () => {
    const { lines } = logged(`log.warn({ err: Object.assign(new Error("no"), { code: "code_spent" }) }, "one");`);
    expect(lines[0]?.err).to.include({ code: "code_spent" });
  });
});
