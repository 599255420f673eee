import { expect } from "chai";
import fc from "fast-check";
import { DesiredState } from "../../../agent/desired.ts";
import { FeedSession } from "../../../agent/feed/session.ts";
import { NftError } from "../../../agent/nft/error.ts";
import { startNftTarget } from "../../../agent/nft/target.ts";
import type { Target } from "../../../agent/target.ts";
import { RegistryTime } from "../../../agent/time.ts";
import type { Change } from "../../../lib/feed/messages.ts";
import { silentLog } from "../../../lib/log.ts";
import { TABLE } from "../../../lib/service.ts";
import { readChanges, readHead, readRules, readTrust } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { FakeClock } from "../../agent/fake.ts";
import { FakeNft } from "../../agent/nft/fake-nft.ts";
import { gateConfig } from "../../kernel/gate.ts";
import { Harness } from "../process/harness.ts";
import { Model, Registry, START, type Step, step } from "../process/steps.ts";

/** What can happen to an agent between: changes arrive in pieces, effects fail, connections and programs end. */
type AgentStep =
  | { readonly agent: "deliver"; readonly most: number }
  | { readonly agent: "apply" | "fail" | "reconnect" | "snapshot" | "restart" | "flushed" };

const agentStep: fc.Arbitrary<AgentStep> = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 3 }).map((most) => ({ agent: "deliver" as const, most })) },
  { weight: 3, arbitrary: fc.constant({ agent: "apply" as const }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...(["fail", "reconnect", "snapshot", "restart", "flushed"] as const)).map((agent) => ({ agent })),
  },
);

const CEILING = { widest4: 0, widest6: 0, rules: 1_000 };
const { signal } = new AbortController();

/** An agent's desired state and nftables target, with the feed's messages made of what Storage tells, and a kernel in memory. */
class Agent {
  readonly nft: FakeNft;
  readonly desired = new DesiredState(CEILING);
  readonly #harness: Harness;
  readonly #target: Target;
  #session = new FeedSession(this.desired, new RegistryTime(new FakeClock(START)), CEILING);
  #resyncDue = true;

  private constructor(harness: Harness, nft: FakeNft, target: Target) {
    this.#harness = harness;
    this.nft = nft;
    this.#target = target;
  }

  /** Its clock stands, so that lives in the kernel tell the expiry that they came from. */
  static async start(harness: Harness, nft = new FakeNft()): Promise<Agent> {
    const target = await startNftTarget({ config: gateConfig({}), now: () => START, log: silentLog, signal, nft });
    const agent = new Agent(harness, nft, target);
    await agent.connect();
    return agent;
  }

  /** A feed anew, from what is held. */
  async connect(forgets = false): Promise<void> {
    const head = await this.#harness.rows(readHead);
    this.#session = new FeedSession(this.desired, new RegistryTime(new FakeClock(START)), CEILING, { forgets });
    this.#session.handle({ type: "welcome", epoch: head.epoch, revision: head.revision, time: START, heartbeatMs: 1_000 });
    if (forgets || this.desired.epoch !== head.epoch) await this.#snapshot();
  }

  /** At most so many changes in one message. @returns false when there are none */
  async deliver(most: number): Promise<boolean> {
    const after = this.desired.revision;
    const rows = await this.#harness.rows((db) => readChanges(db, { after, limit: most }));
    if (rows.length === 0) return false;
    const changes = rows.map(({ body }) => JSON.parse(body) as Change);
    this.#session.handle({ type: "changes", from: after + 1, changes, time: START });
    return true;
  }

  /** As the reconciler: what failed leads to a resync from what is wanted then. */
  async apply(): Promise<void> {
    try {
      if (this.#resyncDue) {
        await this.#target.resync(this.desired, signal);
        this.#resyncDue = false;
        this.desired.acknowledgeAll();
      } else {
        const pending = this.desired.pending();
        await this.#target.apply(this.desired, pending, signal);
        this.desired.acknowledge(pending);
      }
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      this.#resyncDue = true;
    }
  }

  /** Another program flushed the ruleset; the structure monitor says so. */
  flushed(): void {
    this.nft.flush();
    this.#resyncDue = true;
  }

  async #snapshot(): Promise<void> {
    const { epoch, revision, digest, rules: count } = await this.#harness.rows(readHead);
    const rules = await this.#harness.rows((db) => readRules(db, { after: null, limit: 1_000 }));
    const trust = await this.#harness.rows((db) => readTrust(db, { after: null, limit: 1_000 }));
    this.#session.handle({ type: "snapshot.begin", epoch, revision, rules: count, trust: trust.length });
    this.#session.handle({
      type: "snapshot.chunk",
      rules: rules.map(({ lane, prefix, expires_at }): ["ip" | "ipcert", string, number] => [lane, prefix, expires_at]),
      trust: trust.map((entry) => ({ kind: "trust.set" as const, ...entry })),
    });
    const effect = this.#session.handle({ type: "snapshot.end", revision, digest, time: START });
    if (effect.kind === "replaced" && !effect.kept) this.#resyncDue = true;
  }

  /** "lane prefix expiry" of every element that the rules look at. */
  kernel(): string[] {
    return this.nft
      .names(TABLE, "sets")
      .flatMap((set) => {
        const [, lane = "", length = ""] = /^(ip|ipcert)_v[46]_(\d+)_[ab]$/.exec(set) ?? [];
        if (lane === "") return [];
        return Object.entries(this.nft.elements(TABLE, set) ?? {}).map(
          ([address, lifeS]) => `${lane} ${address}/${length} ${START + (lifeS ?? 0) * 1_000}`,
        );
      })
      .sort();
  }
}

async function take(agent: Agent, harness: Harness, one: AgentStep): Promise<Agent> {
  switch (one.agent) {
    case "deliver":
      await agent.deliver(one.most);
      return agent;
    case "apply":
      await agent.apply();
      return agent;
    case "fail":
      agent.nft.failures.push(new NftError("timeout", "hung"), new NftError("timeout", "hung"));
      await agent.apply();
      agent.nft.failures.length = 0;
      return agent;
    case "reconnect":
      await agent.connect();
      return agent;
    case "snapshot":
      await agent.connect(true);
      return agent;
    case "restart":
      // Its file is lost too: what stands in the kernel is all that is left.
      return Agent.start(harness, agent.nft);
    case "flushed":
      agent.flushed();
      return agent;
    default:
      return one satisfies never;
  }
}

describe("the kernel, as the agent keeps it", function () {
  this.timeout(120_000);

  it("has exactly the rules after anything that devices, operators, time, connections, failures and restarts do, in any order", async () => {
    await using harness = await Harness.open();
    const any: fc.Arbitrary<Step | AgentStep> = fc.oneof({ weight: 3, arbitrary: step }, { weight: 4, arbitrary: agentStep });
    await fc.assert(
      fc.asyncProperty(fc.array(any, { minLength: 1, maxLength: 50 }), async (steps) => {
        const registry = await Registry.start(harness);
        const model = new Model();
        let agent = await Agent.start(harness);
        for (const one of steps) {
          if ("agent" in one) {
            agent = await take(agent, harness, one);
          } else {
            model.take(one);
            await registry.take(one, model.now);
          }
        }
        await registry.take({ do: "expire" }, model.now);
        while (await agent.deliver(1_000));
        await agent.apply();
        const rows = await harness.rows((db) => all(db.selectFrom("rules").selectAll()));
        const rules = rows.map(({ lane, prefix, expires_at }) => `${lane} ${prefix} ${expires_at}`).sort();
        expect(agent.kernel()).to.deep.equal(rules);
        expect(rules).to.deep.equal(model.rules());
        expect(agent.desired.digest).to.equal((await harness.rows(readHead)).digest);
      }),
      { numRuns: 80 },
    );
  });
});
