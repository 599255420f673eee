import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { decodePem } from "../../lib/pem.ts";
import { PORT } from "../../lib/service.ts";
import { makeKeyAndCsr } from "../../registry/ca/csr.ts";
import { registryName } from "./configs.ts";
import { type CommandError, inNetns, run } from "./exec.ts";
import { paths } from "./folder.ts";
import { startLab } from "./lab.ts";
import { LAB, planLab } from "./plan.ts";
import { operator } from "./programs.ts";
import { Scene } from "./scene.ts";
import { filesBelow, found, secretOfKeyFile, secretsOfCode, watchProcesses } from "./secrets.ts";

const NAME = `t-secrets-${process.pid}`;
const USER = "laptop";

describe("secrets in one whole scene", function () {
  this.timeout(600_000);
  const folder = mkdtempSync(join(tmpdir(), "entityos-secrets-"));
  const stack = new AsyncDisposableStack();
  let scene: Scene;
  const answers: string[] = [];
  const codes: Record<string, string> = {};

  before(async () => {
    const planned = planLab({ name: NAME, agents: 1, devices: 1 });
    const names = [registryName(planned), planned.registry.address];
    const register = { address: "::", port: LAB.registerPort, names, est: { port: PORT.est, names: [] } };
    const lab = stack.use(await startLab({ name: NAME, agents: 1, devices: 1, registryConfig: { register } }));
    scene = stack.use(await Scene.open(lab));
  });
  after(async () => {
    await stack.disposeAsync();
    rmSync(folder, { recursive: true });
  });

  /** By curl, which is told what is secret in a file and over standard input: the answer's body. */
  async function curl(port: number, path: string, settings: readonly string[]): Promise<void> {
    const { plan } = scene.lab;
    const lines = [`url = "https://${plan.registry.address}:${port}${path}"`, `cacert = "${scene.ca}"`, "silent", ...settings];
    const said = await run(inNetns(scene.device(0).netns, ["curl", "-K", "-"]), { input: lines.join("\n") });
    expect(said).not.to.equal("");
    answers.push(said);
  }

  async function post(body: object | string): Promise<void> {
    const file = join(folder, "body");
    writeFileSync(file, typeof body === "string" ? body : JSON.stringify(body));
    await curl(LAB.registerPort, "/v1/registrations", ['header = "content-type: application/json"', `data-binary = "@${file}"`]);
  }

  async function enrolByEst(code: string): Promise<void> {
    const { csr } = await makeKeyAndCsr(null);
    const file = join(folder, "csr");
    writeFileSync(file, (decodePem("CERTIFICATE REQUEST", csr) ?? Buffer.alloc(0)).toString("base64"));
    const header = 'header = "content-type: application/pkcs10"';
    const user = `user = "${USER}:${code}"`;
    await curl(PORT.est, "/.well-known/est/simpleenroll", [header, user, `data-binary = "@${file}"`]);
  }

  const refused = async (work: Promise<unknown>): Promise<void> => {
    const { stdout, stderr } = await work.then(
      () => expect.fail("it was not refused"),
      (error: CommandError) => error,
    );
    answers.push(stdout, stderr);
  };

  it("stand in no log, no file that needs them not, no command line, no environment and no answer", async () => {
    const { plan } = scene.lab;
    using processes = watchProcesses();
    for (const [name, pattern] of [
      ["plain", "ip"],
      ["est", "cert"],
    ] as const)
      await operator(plan, ["profile", "set", name, "--pattern", pattern, "--plain-code", "yes"]);
    for (const [name, profile] of [
      ["proven", LAB.profile],
      ["sent", "plain"],
      ["typed", "est"],
      ["withdrawn", "plain"],
      ["refused", LAB.profile],
    ] as const)
      codes[name] = await scene.makeCode(name, 2, profile);
    const { proven = "", sent = "", typed = "", withdrawn = "", refused: unused = "" } = codes;
    await operator(plan, ["code", "withdraw", withdrawn.replaceAll("-", "").slice(0, 8)]);
    // Good.
    await scene.enrol(0, proven, "first");
    await post({ code: sent, addresses: ["observed"] });
    await enrolByEst(typed);
    expect(answers[0]).to.include('"pattern":"ip"');
    expect(answers[1]).to.match(/^MII[A-Za-z0-9+/=\s]+$/);
    // Bad: mistyped, withdrawn, not to be sent, used up, not parsed, of the wrong shape.
    const mistyped = `${unused.slice(0, -1)}${unused.endsWith("0") ? "1" : "0"}`;
    await post({ code: mistyped, addresses: ["observed"] });
    await post({ code: withdrawn, addresses: ["observed"] });
    await post({ code: unused, addresses: ["observed"] });
    await post(`{"code":"${unused}","addresses":`);
    await post({ code: [unused], addresses: [unused], [unused]: 1 });
    await scene.enrol(0, proven, "second");
    await refused(scene.enrol(0, proven, "third"));
    await refused(scene.enrol(0, mistyped, "fourth"));
    await enrolByEst(unused);
    await enrolByEst(withdrawn);
    // The operator's side.
    for (const words of ["code list", "device list", "grant list", "audit list", "status", "cert list", "audit verify"])
      answers.push(await operator(plan, [...words.split(" "), "--json"]));
    await refused(operator(plan, ["code", "withdraw", "00000000"]));

    const device = paths(plan).of(scene.device(0).name);
    const secrets = Object.entries(codes).flatMap(([name, code]) => secretsOfCode(name, code, USER));
    const files = filesBelow(plan.folder, plan.dataFolder);
    const keys = files.filter(([file, bytes]) => bytes.includes("PRIVATE KEY-----") && !file.endsWith(".log")).map(([file]) => file);
    expect(keys.filter((file) => file.startsWith(device)).length).to.be.above(1);
    expect(keys.length).to.be.above(6);
    for (const [file, bytes] of files) {
      const others = keys.filter((key) => key !== file && !readFileSync(key).equals(bytes)).map(secretOfKeyFile);
      expect(found([...secrets, ...others], bytes), file).to.deep.equal([]);
    }
    const all = [...secrets, ...keys.map(secretOfKeyFile)];
    const seen = [...processes.seen];
    expect(seen.some((words) => words.includes("enroll\0--url"))).to.equal(true);
    for (const words of [...seen, ...answers]) expect(found(all, Buffer.from(words, "latin1")), words).to.deep.equal([]);
    const refusals = answers.flatMap((text) => /"code":"([a-z_]+)"/.exec(text)?.[1] ?? []);
    expect(refusals).to.deep.equal([
      ...["code_check", "code_withdrawn", "plain_code_refused", "request_malformed", "request_invalid"],
      ...["plain_code_refused", "code_withdrawn"],
    ]);
  });
});
