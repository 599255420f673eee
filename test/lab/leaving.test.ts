import { readFileSync } from "node:fs";
import { expect } from "chai";
import type { Certificate, CertificateAuthority, Page } from "../../lib/admin/api.ts";
import { inNetns, run } from "./exec.ts";
import { startLab } from "./lab.ts";
import { LAB } from "./plan.ts";
import { agentOf, agentStatus, operate } from "./programs.ts";
import { type Registered, Scene } from "./scene.ts";
import { waitFor } from "./wait.ts";

const HEARTBEAT_MS = 1_000;
const DAY_MS = 86_400_000;

describe("an infrastructure CA that leaves under a whole agent", function () {
  this.timeout(180_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;

  before(async () => {
    const registryConfig = { feed: { heartbeatMs: HEARTBEAT_MS } };
    const lab = stack.use(await startLab({ name: `t-leaving-${process.pid}`, agents: 1, devices: 2, registryConfig }));
    scene = stack.use(await Scene.open(lab));
  });
  after(() => stack.disposeAsync());

  const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await operate(scene.lab.plan, [...args, "--json"])) as T;
  const status = async () => (await agentStatus(scene.lab.plan, scene.host())) ?? expect.fail("the agent does not answer");
  const infrastructure = async (state: string) =>
    (await json<readonly CertificateAuthority[]>("ca", "show")).find((ca) => ca.role === "infrastructure CA" && ca.state === state)?.id;

  async function enrol(device: number): Promise<string> {
    const { status, body } = await scene.register(device, await scene.makeCode("leaving", 1), ["observed"]);
    expect(status, JSON.stringify(body)).to.equal(201);
    await scene.applied(await scene.headRevision());
    return (body as Registered).device;
  }

  /** Issuer of what the service shows to a device that knows the root alone: "infrastructure-1a2b3c4d". */
  async function shownBy(): Promise<string | undefined> {
    const { address } = scene.host();
    const client = ["openssl", "s_client", "-connect", `${address}:${LAB.servicePort}`, "-CAfile", scene.ca, "-verify_return_error"];
    const said = await run(inNetns(scene.device(0).netns, [...client, "-verify_ip", address]), { input: "" });
    const part = /^issuer=CN ?= ?entityOS infrastructure CA ([0-9a-f]{8})$/m.exec(said)?.[1];
    return /^Verify return code: 0 \(ok\)$/m.test(said.replace(/^ +/gm, "")) ? `infrastructure-${part}` : undefined;
  }

  it("is taken out within minutes: agent and service have certificates of the next one, nobody was refused, feed and gate stand", async () => {
    const { plan } = scene.lab;
    const first = await enrol(0);
    const before = (await infrastructure("active")) ?? "";
    expect(await shownBy()).to.equal(before);
    const was = await status();

    let over = false;
    const answers: string[] = [];
    const visit = async (): Promise<void> => {
      while (!over) answers.push(await scene.fetch(0));
    };
    const { next } = await json<{ next: string }>("ca", "rotate", "--kind", "infrastructure");
    const leave = async (): Promise<void> => {
      await waitFor("the next CA to sign", async () => (await infrastructure("active")) === next || undefined);
      const retire = () =>
        operate(plan, ["ca", "retire", before]).then(
          () => true as const,
          () => undefined,
        );
      await waitFor("the CA before to be taken out", retire, { timeoutMs: 60_000, everyMs: 200 });
      await waitFor("its end", async () => (await infrastructure("withdrawn")) === undefined || undefined);
      await waitFor("the service to show the next one's", async () => (await shownBy()) === next || undefined);
    };
    await Promise.all([
      visit(),
      leave().finally(() => {
        over = true;
      }),
    ]);
    expect([...new Set(answers)]).to.deep.equal(["host1 answers"]);
    expect(answers.length).to.be.above(10);

    // Both last as long as from an enrolment today, and the registry lists nothing of the CA before as live.
    const now = await status();
    expect([now.state, now.feed.connected]).to.deep.equal(["enforcing", true]);
    expect(now.certificate.notAfter).to.be.above(was.certificate.notAfter);
    expect(now.serviceCertificate?.notAfter).to.be.above(was.serviceCertificate?.notAfter ?? Number.POSITIVE_INFINITY);
    expect((now.serviceCertificate?.notAfter ?? 0) - Date.now()).to.be.above(364 * DAY_MS);
    const { items } = await json<Page<Certificate>>("cert", "list", "--limit", "1000");
    const live = items.filter(({ state }) => state === "live");
    expect(live.filter(({ issuer }) => issuer.endsWith(before.slice(-8))).map(({ subject }) => subject)).to.deep.equal([]);
    const log = readFileSync(scene.lab.description.logs[agentOf(scene.host())] ?? "", "utf8").trim();
    const told = log.split("\n").map((line) => JSON.parse(line) as { readonly msg: string; readonly reason?: string });
    expect(told.filter(({ msg }) => msg === "The feed is connected anew")).to.have.length(1);
    // A busy machine may be silent for three heartbeats; a registry that refuses says so.
    const lost = told.filter(({ msg }) => msg.startsWith("Feed lost")).map(({ reason }) => reason);
    expect(lost.filter((reason) => reason !== "closed with 1006")).to.deep.equal([]);
    expect(told.filter(({ msg }) => msg.startsWith("Cannot renew"))).to.deep.equal([]);

    await enrol(1);
    expect(await scene.fetch(1)).to.equal("host1 answers");
    const { revision } = await scene.revoke(first);
    await scene.applied(revision);
    const knock = await scene.probe(0).ask("connect", { host: scene.host().address, port: LAB.servicePort, timeoutMs: 500 });
    expect(knock.outcome).to.equal("silent");
  });
});
