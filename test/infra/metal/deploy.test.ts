import { expect } from "chai";
import { deployHost } from "../../../infra/metal/deploy.ts";
import { desiredOf, digestOf, summaryOf } from "../../../infra/metal/desired.ts";
import { HostError, type Step } from "../../../infra/metal/errors.ts";
import { agentHealthy, registryHealthy } from "../../../infra/metal/health.ts";
import { UNFINISHED } from "../../../infra/metal/observed.ts";
import type { Remote } from "../../../infra/metal/ssh.ts";
import { folder, STATUS, settings, sound } from "./hosts.ts";

/** A host whose link is lost at a step, with an agent that runs anew after a restart; what it was told. */
class Fake {
  readonly told: { readonly step: Step; readonly script: string }[] = [];
  readonly #says: string;
  readonly #lost: Step | null;
  #pid = 1;

  constructor(says: string, lost: Step | null = null) {
    this.#says = says;
    this.#lost = lost;
  }

  readonly remote: Remote = {
    sh: async (step, script) => {
      this.told.push({ step, script });
      if (step === this.#lost) throw new HostError("web-1", step, "unreachable", "no answer");
      if (step === "connect") return this.#says;
      if (script.includes("systemctl restart")) this.#pid++;
      if (script.includes("entityos status")) return "well";
      if (step !== "health") return "";
      return JSON.stringify({ ...STATUS, pid: this.#pid });
    },
  };
}

describe("a deploy", () => {
  const { registry, agents } = settings();
  const [web] = agents;
  if (web === undefined) throw new Error("unreachable");
  const restarts = ({ told }: Fake) => told.filter(({ script }) => script.includes("systemctl restart")).length;

  for (const host of [registry, web]) {
    const planned = { generation: "2026-11-24T00:00:00.000Z", digest: digestOf(summaryOf(desiredOf(host, folder, "amd64"))) };
    const deploy = ({ remote }: Fake) => deployHost(host, planned, { folder, remote, registry: remote, who: "ada", say: () => {} });
    const changed = sound(host, "7").replace(/\.yaml [0-9a-f]+/, ".yaml 00");

    it(`of a ${host.role} is marked as begun before anything is changed, and as ended by its record alone`, async () => {
      const fake = new Fake(changed);
      await deploy(fake);
      const at = (words: string) => fake.told.findIndex(({ script }) => script.includes(words));
      expect(at(`>${UNFINISHED}`)).to.be.within(1, fake.told.findIndex(({ step }) => step === "configuration") - 1);
      expect(at(`rm -f ${UNFINISHED}`)).to.equal(fake.told.length - 1);
      expect(restarts(fake)).to.equal(1);
    });

    it(`of a ${host.role} that was interrupted before its restart is restarted by the next one, though no file differs any more`, async () => {
      const first = new Fake(changed, "start");
      const lost = await deploy(first).catch((error: unknown) => (error instanceof HostError ? `${error.step}: ${error.code}` : error));
      expect(lost).to.equal("start: unreachable");
      expect(first.told.some(({ script }) => script.includes(`rm -f ${UNFINISHED}`))).to.equal(false);
      const second = new Fake(`${sound(host, "7")}unfinished\n`);
      await deploy(second);
      expect(restarts(second)).to.equal(1);
      const third = new Fake(sound(host, "7"));
      await deploy(third);
      expect(restarts(third)).to.equal(0);
    });
  }

  it("of a host whose gate would let nobody in from where and to where it is asked now is refused before anything is changed", async () => {
    for (const [asked, missing] of [
      ["198.51.100.7 22", "gate.management.networks does not have 198.51.100.7, from where it is deployed"],
      ["203.0.113.5 2222", "gate.management.ports does not have 2222, where its SSH is asked"],
    ] as const) {
      const planned = { generation: "8", digest: digestOf(summaryOf(desiredOf(web, folder, "amd64"))) };
      const fake = new Fake(
        sound(web, "7")
          .replace("203.0.113.5 22", asked)
          .replace(/\.yaml [0-9a-f]+/, ".yaml 00"),
      );
      const { remote } = fake;
      const refused = await deployHost(web, planned, { folder, remote, registry: remote, who: "ada", say: () => {} }).catch(String);
      expect(refused).to.equal(`HostError: web-1: plan: would_lock_out: ${missing}`);
      expect(fake.told.map(({ step }) => step)).to.deep.equal(["connect"]);
    }
  });
});

describe("the health of a host", () => {
  const patience = { waitMs: 20_000, everyMs: 1 };
  /** Says one after the other, and the last of them for ever; a code is a connection that fails by it. */
  const saying = (...words: readonly string[]): Remote & { asked: number } => ({
    asked: 0,
    async sh(step) {
      const said = words[Math.min(this.asked++, words.length - 1)] ?? "";
      if (/^[a-z_]+$/.test(said) && said !== "well") throw new HostError("web-1", step, said, "no answer");
      return said;
    },
  });
  const well = JSON.stringify(STATUS);
  const down = JSON.stringify({ ...STATUS, state: "detached", feed: { connected: false }, alarms: [{ name: "crl_old" }] });

  it("is asked again after a connection that was lost, and after any other word than that all is well", async () => {
    const agent = saying("unreachable", "", down, "timed_out", well);
    await agentHealthy("web-1", agent, null, patience);
    expect(agent.asked).to.equal(5);
    const registry = saying("unreachable", "control is away", "well");
    await registryHealthy("reg", registry, patience);
    expect(registry.asked).to.equal(3);
  });

  it("is given up with the last words once its time is over, and at once where asking again is in vain", async () => {
    const short = { waitMs: 30, everyMs: 1 };
    expect(await agentHealthy("web-1", saying(down), null, short).catch(String)).to.equal(
      "HostError: web-1: health: not_healthy: after 0.03 s: detached, feed down, alarms: crl_old",
    );
    expect(await agentHealthy("web-1", saying("unreachable"), null, short).catch(String)).to.equal(
      "HostError: web-1: health: not_healthy: after 0.03 s: web-1: health: unreachable: no answer",
    );
    const refused = saying("login_refused");
    expect(await agentHealthy("web-1", refused, null, patience).catch(String)).to.equal(
      "HostError: web-1: health: login_refused: no answer",
    );
    expect(refused.asked).to.equal(1);
  });
});
