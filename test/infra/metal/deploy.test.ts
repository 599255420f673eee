import { expect } from "chai";
import { deployHost } from "../../../infra/metal/deploy.ts";
import { desiredOf, digestOf, summaryOf } from "../../../infra/metal/desired.ts";
import { HostError, type Step } from "../../../infra/metal/errors.ts";
import { UNFINISHED } from "../../../infra/metal/observed.ts";
import type { Remote } from "../../../infra/metal/ssh.ts";
import { folder, settings, sound } from "./hosts.ts";

/** A host whose link is lost at a step, with an agent that runs anew after a restart; what it was told. */
class Host {
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
      if (script.includes("systemctl restart entityos-agent")) this.#pid++;
      if (step !== "health") return "";
      return JSON.stringify({ pid: this.#pid, zone: "restricted", state: "enforcing", revision: 1, alarms: [], feed: { connected: true } });
    },
  };
}

describe("a deploy of a host", () => {
  const { agents } = settings();
  const [web] = agents;
  if (web === undefined) throw new Error("unreachable");
  const planned = { generation: "2026-11-24T00:00:00.000Z", digest: digestOf(summaryOf(desiredOf(web, folder, "amd64"))) };
  const deploy = ({ remote }: Host) => deployHost(web, planned, { folder, remote, registry: remote, say: () => {} });
  const restarts = ({ told }: Host) => told.filter(({ script }) => script.includes("systemctl restart entityos-agent")).length;

  it("is marked as begun before anything is changed, and as ended by its record alone", async () => {
    const host = new Host(sound(web, "7").replace(/agent\.yaml [0-9a-f]+/, "agent.yaml 00"));
    await deploy(host);
    const at = (words: string) => host.told.findIndex(({ script }) => script.includes(words));
    expect(at(`touch ${UNFINISHED}`)).to.be.within(1, host.told.findIndex(({ step }) => step === "configuration") - 1);
    expect(at(`rm -f ${UNFINISHED}`)).to.equal(host.told.length - 1);
    expect(restarts(host)).to.equal(1);
  });

  it("that was interrupted before its restart is restarted by the next one, though no file differs any more", async () => {
    const first = new Host(sound(web, "7").replace(/agent\.yaml [0-9a-f]+/, "agent.yaml 00"), "start");
    const lost = await deploy(first).catch((error: unknown) => (error instanceof HostError ? `${error.step}: ${error.code}` : error));
    expect(lost).to.equal("start: unreachable");
    expect(first.told.some(({ script }) => script.includes(`rm -f ${UNFINISHED}`))).to.equal(false);
    const second = new Host(`${sound(web, "7")}unfinished\n`);
    await deploy(second);
    expect(restarts(second)).to.equal(1);
    const third = new Host(sound(web, "7"));
    await deploy(third);
    expect(restarts(third)).to.equal(0);
  });
});
