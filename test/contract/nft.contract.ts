import { expect } from "chai";
import type { Nft } from "../../agent/nft/child.ts";
import { NftError } from "../../agent/nft/error.ts";

const T = "inet entityos_contract";
const SET = `add table ${T}\nadd set ${T} s { type ipv4_addr; flags timeout; }`;

/** What every way to the kernel's tables must do alike. Elements cannot be listed: an element is there if it can be deleted. */
export function nftContract(name: string, open: () => Promise<Nft>): void {
  describe(`${name} as nft`, () => {
    let nft: Nft;
    const bounds = { timeoutMs: 10_000, signal: new AbortController().signal };
    const run = (...commands: string[]) => nft.run(commands.join("\n"), bounds);
    const kindOf = (...commands: string[]) =>
      run(...commands).then(
        () => "done",
        (error: unknown) => (error instanceof NftError ? error.kind : String(error)),
      );
    const names = async (kind: "chain" | "set") =>
      (await nft.query(`list ${kind}s inet`, bounds))
        .flatMap((document) => (document as { nftables: Record<string, { table?: string; name?: string }>[] }).nftables)
        .flatMap((entry) => (entry[kind]?.table === "entityos_contract" ? [entry[kind]?.name] : []));

    beforeEach(async () => {
      nft = await open();
    });
    afterEach(() => nft[Symbol.asyncDispose]());

    it("takes what is there already once more", async () => {
      await run(SET, `add chain ${T} c`);
      await run(SET, `add chain ${T} c`);
      expect(await names("set")).to.deep.equal(["s"]);
      expect(await names("chain")).to.deep.equal(["c"]);
    });

    it("adds and deletes elements, as text and as JSON", async () => {
      await run(SET, `add element ${T} s { 203.0.113.7 timeout 60s, 203.0.113.8 timeout 60s }`);
      const element = { family: "inet", table: "entityos_contract", name: "s" };
      const come = { elem: { val: "203.0.113.9", timeout: 60 } };
      await run(JSON.stringify({ nftables: [{ add: { element: { ...element, elem: [come] } } }] }));
      await run(JSON.stringify({ nftables: [{ delete: { element: { ...element, elem: ["203.0.113.7", "203.0.113.9"] } } }] }));
      expect(await kindOf(`delete element ${T} s { 203.0.113.7 }`)).to.equal("missing");
      expect(await kindOf(`delete element ${T} s { 203.0.113.9 }`)).to.equal("missing");
      expect(await kindOf(`delete element ${T} s { 203.0.113.8 }`)).to.equal("done");
    });

    it("does a script whole or not at all", async () => {
      await run(SET);
      const script = [`add element ${T} s { 203.0.113.7 timeout 60s }`, `delete element ${T} s { 203.0.113.8 }`];
      expect(await kindOf(...script)).to.equal("missing");
      expect(await kindOf(`delete element ${T} s { 203.0.113.7 }`)).to.equal("missing");
    });

    it("deletes an element that may be absent by adding it first", async () => {
      await run(SET);
      const away = [`add element ${T} s { 203.0.113.7 }`, `delete element ${T} s { 203.0.113.7 }`];
      expect(await kindOf(...away)).to.equal("done");
      expect(await kindOf(...away, `add element ${T} s { 203.0.113.7 timeout 9s }`)).to.equal("done");
      expect(await kindOf(...away)).to.equal("done");
      expect(await kindOf(`delete element ${T} s { 203.0.113.7 }`)).to.equal("missing");
    });

    it("tells what is missing", async () => {
      expect(await kindOf(`add set ${T} s { type ipv4_addr; flags timeout; }`)).to.equal("missing");
      expect(await kindOf(`delete table ${T}`)).to.equal("missing");
      await run(`add table ${T}`);
      expect(await kindOf(`add element ${T} s { 203.0.113.7 timeout 60s }`)).to.equal("missing");
      expect(await kindOf(`delete set ${T} s`)).to.equal("missing");
      expect(await kindOf(`flush chain ${T} c`)).to.equal("missing");
      expect(await kindOf(`delete chain ${T} c`)).to.equal("missing");
      expect(await kindOf(`add rule ${T} c accept`)).to.equal("missing");
      expect(await kindOf(`add chain ${T} c`, `add rule ${T} c ip saddr @s accept`)).to.equal("missing");
      expect(await kindOf(`add chain ${T} c`, `add rule ${T} c jump d`)).to.equal("missing");
    });

    it("tells that a set is there in another form", async () => {
      await run(SET);
      expect(await kindOf(`add set ${T} s { type ipv6_addr; flags timeout; }`)).to.equal("exists");
    });

    it("keeps what rules refer to", async () => {
      await run(SET, `add chain ${T} c`, `add chain ${T} d`, `add rule ${T} c ip saddr @s accept`, `add rule ${T} c jump d`);
      expect(await kindOf(`delete set ${T} s`)).to.equal("busy");
      expect(await kindOf(`delete chain ${T} d`)).to.equal("busy");
      expect(await kindOf(`flush chain ${T} c`, `delete set ${T} s`, `delete chain ${T} d`)).to.equal("done");
      expect(await kindOf(`add rule ${T} c accept`, `delete chain ${T} c`)).to.equal("done");
    });

    it("refuses what it does not understand, and goes on", async () => {
      await run(SET);
      expect(await kindOf("open sesame")).to.equal("syntax");
      expect(await kindOf('{"nftables": [')).to.equal("syntax");
      expect(await kindOf(`add element ${T} s { 2001:db8::1 timeout 60s }`)).to.equal("syntax");
      expect(await kindOf(`add element ${T} s { 203.0.113.7 timeout 60s }`)).to.equal("done");
    });

    it("takes scripts of any length, in their order", async () => {
      const many = Array.from({ length: 2_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
      const long = run(SET, `add element ${T} s { ${many.map((address) => `${address} timeout 60s`).join(", ")} }`);
      const short = kindOf(`delete element ${T} s { 10.0.7.207 }`);
      await long;
      expect(await short).to.equal("done");
    });
  });
}
