import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseAgentConfig } from "../../agent/config.ts";
import { DesiredState } from "../../agent/desired.ts";
import { startNftTarget } from "../../agent/nft/target.ts";
import { silentLog } from "../../lib/log.ts";
import { run } from "../lab/exec.ts";
import { servePeer } from "../lab/peer.ts";
import { BareNft } from "./bare-nft.ts";
import { seededAddress } from "./seed.ts";

/**
 * One change at a time in a namespace of its own: `--kind bare` is nft and a set with nothing around it, `--kind gate` is the agent's
 * target as the reconciler calls it. Each answers with the milliseconds that the change itself took.
 */
export interface WorkerAsks {
  seed: { readonly elements: number };
  apply: { readonly address: string };
}
export interface WorkerAnswers {
  seed: Record<string, never>;
  apply: { readonly ms: number };
}

interface Subject {
  seed(elements: number): Promise<void>;
  apply(address: string): Promise<void>;
}

const LIFE_SECONDS = 86_400;

function bare(): Subject {
  let nft: BareNft;
  return {
    async seed(elements) {
      const folder = mkdtempSync(join(tmpdir(), "eos-bench-"));
      try {
        const all = Array.from({ length: elements }, (_, i) => `${seededAddress(i)} timeout ${LIFE_SECONDS}s`).join(", ");
        const file = join(folder, "set.nft");
        writeFileSync(file, `table inet bare {\nset s {\ntype ipv4_addr\nflags timeout\ngc-interval 10m\nelements = { ${all} }\n}\n}\n`);
        await run(["nft", "-f", file]);
      } finally {
        rmSync(folder, { recursive: true });
      }
      nft = new BareNft();
    },
    async apply(address) {
      const elem = [{ elem: { val: address, timeout: LIFE_SECONDS } }];
      await nft.apply([{ add: { element: { family: "inet", table: "bare", name: "s", elem } } }]);
    },
  };
}

async function gate(): Promise<Subject> {
  const { signal } = new AbortController();
  const registry = { addresses: ["https://203.0.113.2:8444"], ca: "-", certificate: "-", key: "-" };
  const config = parseAgentConfig("bench", JSON.stringify({ name: "bench", registry }));
  const target = await startNftTarget({ config, now: () => Date.now(), log: silentLog, signal });
  const desired = new DesiredState(config.ceiling);
  const expiresAt = Date.now() + LIFE_SECONDS * 1_000;
  return {
    async seed(elements) {
      for (let i = 0; i < elements; i++) desired.load({ lane: "ip", prefix: `${seededAddress(i)}/32`, expiresAt });
      await target.resync(desired, signal);
    },
    async apply(address) {
      desired.change({ kind: "rule.set", lane: "ip", prefix: `${address}/32`, expiresAt });
      const pending = desired.pending();
      await target.apply(desired, pending, signal);
      desired.acknowledge(pending);
    },
  };
}

const { values } = parseArgs({ options: { kind: { type: "string", default: "bare" } } });
const subject = values.kind === "gate" ? await gate() : bare();

servePeer({
  async seed({ elements }: WorkerAsks["seed"]): Promise<WorkerAnswers["seed"]> {
    await subject.seed(elements);
    return {};
  },
  async apply({ address }: WorkerAsks["apply"]): Promise<WorkerAnswers["apply"]> {
    const startedAt = performance.now();
    await subject.apply(address);
    return { ms: performance.now() - startedAt };
  },
});
