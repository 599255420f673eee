import { expect } from "chai";
import { deployHost } from "../../../infra/metal/deploy.ts";
import { desiredOf, digestOf, summaryOf } from "../../../infra/metal/desired.ts";
import { HostError, type Step } from "../../../infra/metal/errors.ts";
import { UNFINISHED } from "../../../infra/metal/observed.ts";
import type { Remote } from "../../../infra/metal/ssh.ts";
import { folder, settings, sound } from "./hosts.ts";

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
      return JSON.stringify({ pid: this.#pid, zone: "restricted", state: "enforcing", revision: 1, alarms: [], feed: { connected: true } });
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
    const deploy = ({ remote }: Fake) => deployHost(host, planned, { folder, remote, registry: remote, say: () => {} });
    const changed = sound(host, "7").replace(/\.yaml [0-9a-f]+/, ".yaml 00");

    it(`of a ${host.role} is marked as begun before anything is changed, and as ended by its record alone`, async () => {
      const fake = new Fake(changed);
      await deploy(fake);
      const at = (words: string) => fake.told.findIndex(({ script }) => script.includes(words));
      expect(at(`touch ${UNFINISHED}`)).to.be.within(1, fake.told.findIndex(({ step }) => step === "configuration") - 1);
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
});
