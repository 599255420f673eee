import { type Nft, startNft } from "../../agent/nft/child.ts";
import { silentLog } from "../../lib/log.ts";
import { FakeNft } from "../agent/nft/fake-nft.ts";
import { inNetns, run } from "../lab/exec.ts";
import { nftContract } from "./nft.contract.ts";

nftContract("the fake", async () => new FakeNft());

let made = 0;

async function startInNetns(): Promise<Nft> {
  await using stack = new AsyncDisposableStack();
  const netns = `eosc${process.pid}-${made++}`;
  await run(["ip", "netns", "add", netns]);
  stack.defer(async () => {
    await run(["ip", "netns", "delete", netns]);
  });
  const nft = stack.use(await startNft({ log: silentLog, signal: new AbortController().signal, within: inNetns(netns, []) }));
  const held = stack.move();
  return {
    run: (script, bounds) => nft.run(script, bounds),
    query: (command, bounds) => nft.query(command, bounds),
    async [Symbol.asyncDispose]() {
      await held.disposeAsync();
    },
  };
}

nftContract("the kernel", startInNetns);

describe("nft", () => {
  const { TERM } = process.env;
  after(() => {
    if (TERM === undefined) delete process.env.TERM;
    else process.env.TERM = TERM;
  });

  it("can be used without a terminal, as from sudo, which then calls it unknown", async () => {
    process.env.TERM = "unknown";
    await using nft = await startInNetns();
    await nft.run("add table inet t", { timeoutMs: 30_000, signal: new AbortController().signal });
  });
});
