import { once } from "node:events";
import { connect, createServer } from "node:net";
import { expect } from "chai";
import { Flows, type Owned } from "../../../agent/terminator/flows.ts";
import { connectionsAt, readConnections } from "../../../agent/terminator/sockets.ts";

const flow = (port: number) => ({ family: 4, address: "192.0.2.1", port }) as const;
const at = (port: number, to = "192.0.2.9 8442") => ({ ...flow(port), to });
const who = (fingerprint: string): Omit<Owned, "flow"> => ({ fingerprint, device: "d", pattern: "cert", lane: "roaming" });
const { signal } = new AbortController();
const portsOf = (flows: Flows, fingerprint: string) => flows.of(fingerprint).map((owned) => owned.flow.port);

describe("open connections and whose they are", () => {
  it("are found by each certificate that asked from there: they may be two, to two addresses of the host", () => {
    const flows = new Flows();
    for (const port of [1, 2, 1]) expect(flows.note(at(port), who("a"))).to.equal(true);
    flows.note(at(3), who("b"));
    expect([portsOf(flows, "a"), portsOf(flows, "b")]).to.deep.equal([[1, 2], [3]]);
    flows.note(at(1), who("b"));
    flows.note(at(2), null);
    expect([portsOf(flows, "a"), portsOf(flows, "b")]).to.deep.equal([
      [1, 2],
      [3, 1],
    ]);
    expect(flows.all().map((owned) => `${owned.flow.port} ${owned.fingerprint}`)).to.deep.equal(["1 a", "1 b", "2 a", "3 b"]);
  });

  it("are of a few certificates at most, all of which are forgotten with it", async () => {
    const flows = new Flows();
    const some = [..."abcdefgh"];
    expect(some.map((name) => flows.note(at(1), who(name)))).to.deep.equal(some.map(() => true));
    expect([flows.note(at(1), who("i")), flows.note(at(1), who("a")), flows.note(at(2), who("i"))]).to.deep.equal([false, true, true]);
    await flows.end([flow(1)], async () => {}, signal);
    expect(flows.all().map((owned) => `${owned.flow.port} ${owned.fingerprint}`)).to.deep.equal(["2 i"]);
    expect(portsOf(flows, "a")).to.deep.equal([]);
  });

  it("have no room for more than their bound, and go on with those that are known", () => {
    const flows = new Flows(2);
    expect([1, 2, 3, 2].map((port) => flows.note(at(port), who("a")))).to.deep.equal([true, true, false, true]);
    expect(portsOf(flows, "a")).to.deep.equal([1, 2]);
  });

  it("are let go when the kernel has them no more, but none that asked while it was looked at", async () => {
    const flows = new Flows();
    for (const port of [1, 2, 3]) flows.note(at(port), who("a"));
    await flows.sweep(async () => {
      flows.note(at(3), who("a"));
      flows.note(at(4), who("a"));
      return [at(1)];
    });
    expect(portsOf(flows, "a").sort()).to.deep.equal([1, 3, 4]);
  });

  it("that were cut stay on the list until the kernel has them no more, and are kept when they could not be cut", async () => {
    const flows = new Flows();
    for (const port of [1, 2]) flows.note(at(port), who("a"));
    const failing = async () => {
      throw new Error("no");
    };
    await flows.end([flow(1)], failing, signal).catch(() => {});
    expect([portsOf(flows, "a"), flows.over]).to.deep.equal([[1, 2], []]);
    await flows.end([flow(1)], async () => {}, signal);
    expect([portsOf(flows, "a"), flows.over]).to.deep.equal([[2], [flow(1)]]);
    await flows.sweep(async () => [at(1), at(2)]);
    expect(flows.over).to.deep.equal([flow(1)]);
    await flows.sweep(async () => [at(2)]);
    expect([portsOf(flows, "a"), flows.over]).to.deep.equal([[2], []]);
  });

  it("from before the agent are nobody's until they ask", async () => {
    const flows = new Flows();
    flows.begin([at(1), at(2), at(3)]);
    flows.note(at(1), who("a"));
    // From the same port to another address or port of this host it is another one.
    flows.note(at(2, "192.0.2.8 8442"), who("a"));
    flows.note(at(2, "192.0.2.9 8441"), null);
    expect(flows.unknown).to.deep.equal([flow(2), flow(3)]);
    await flows.sweep(async () => [at(2), at(3, "192.0.2.9 8441")]);
    expect(flows.unknown).to.deep.equal([flow(2)]);
    await flows.end([flow(2)], async () => {}, signal);
    expect(flows.unknown).to.deep.equal([]);
  });
});

describe("connections of the kernel", () => {
  it("are read from its table, of these ports alone, without those that are over, and each once", () => {
    const table = [
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
      "   0: 00000000:20FA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0",
      "   1: 0A0200C0:20FA 010200C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1",
      "   2: 0A0200C0:20FA 020200C0:C351 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0",
      "   3: 0A0200C0:0016 030200C0:C352 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1",
      "   4: 0A0200C0:20FA 040200C0:C353 04 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1",
      // As the kernel does, now and then.
      "   5: 0A0200C0:20FA 040200C0:C353 04 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1",
    ].join("\n");
    expect(readConnections(table, new Set([8442]))).to.deep.equal([
      { family: 4, address: "192.0.2.1", port: 50_000, to: "192.0.2.10 8442" },
      { family: 4, address: "192.0.2.4", port: 50_003, to: "192.0.2.10 8442" },
    ]);
  });

  it("are there with their clients' ends, over IPv4 and IPv6", async () => {
    for (const [family, host] of [
      [4, "127.0.0.1"],
      [6, "::1"],
    ] as const) {
      const server = createServer().listen(0, host);
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      const client = connect(port, host);
      await Promise.all([once(client, "connect"), once(server, "connection")]);
      expect(await connectionsAt(new Set([port]))).to.deep.equal([
        { family, address: host, port: client.localPort, to: `${host} ${port}` },
      ]);
      client.destroy();
      server.close();
    }
  });
});
