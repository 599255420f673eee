import { readFileSync } from "node:fs";
import { expect } from "chai";
import { renderGate } from "../../../agent/nft/gate.ts";
import { gateConfig } from "../../kernel/gate.ts";
import { run } from "../../lab/exec.ts";

const expected = (name: string) => readFileSync(new URL(name, import.meta.url), "utf8");

/** Everything on, more ports and networks than the defaults have. */
const ALL = {
  servicePorts: [443, 8080],
  listeners: { ip: 9441, ipcert: 9442, roaming: 9443 },
  lanes: { ip: true, ipcert: true, roaming: true },
  management: { ports: [22, 9100], networks: ["203.0.113.0/24", "203.0.113.64/26", "203.0.113.0/24", "2001:db8::/32"] },
  probe: { port: 9440, networks: ["198.51.100.0/24"] },
  newConnections: { perSecond: 10, burst: 900 },
  openConnections: { perSource: 900, roaming: 20 },
};

describe("the rendered gate", () => {
  const cases = [
    ["the restricted zone's defaults", "restricted.nft", gateConfig()],
    ["a restricted zone with all lanes and networks", "restricted-all.nft", gateConfig(ALL)],
    ["the same in front of HAProxy", "restricted-haproxy.nft", gateConfig(ALL, "restricted", { kind: "haproxy" })],
    ["the open zone", "open.nft", gateConfig({}, "open")],
  ] as const;
  for (const [name, file, config] of cases) {
    it(`is, for ${name}, to the letter what stands in ${file}`, () => {
      expect(renderGate(config)).to.equal(expected(file));
    });
    it(`is text that nft loads, for ${name}`, async () => {
      const netns = `eosr${process.pid}`;
      await run(["ip", "netns", "add", netns]);
      try {
        await run(["nsenter", `--net=/run/netns/${netns}`, "sh", "-c", "cat | nft -f -"], { input: renderGate(config) });
      } finally {
        await run(["ip", "netns", "delete", netns]);
      }
    });
  }

  it("counts no open connections where HAProxy does", () => {
    expect(renderGate(gateConfig(ALL, "restricted", { kind: "haproxy" }))).not.to.match(/jump hold|ct count/);
    expect(renderGate(gateConfig(ALL, "restricted", { kind: "nginx" }))).to.include("ip saddr ct count 900 } accept");
  });
});
