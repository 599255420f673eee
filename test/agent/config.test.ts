import { expect } from "chai";
import { parseAgentConfig } from "../../agent/config.ts";
import { ConfigError } from "../../lib/config.ts";

const MINIMAL = `
name: host-1
registry:
  addresses: [https://control.example:8444]
  ca: ca.pem
  certificate: host-1.pem
  key: host-1.key
`;

const problems = (text: string): readonly string[] => {
  try {
    parseAgentConfig("agent.yaml", text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error("nothing was refused");
};

describe("the agent's configuration", () => {
  it("has these defaults: only the lane ip is on, nobody manages or probes, nothing wide is believed", () => {
    expect(parseAgentConfig("agent.yaml", MINIMAL)).to.deep.equal({
      name: "host-1",
      zone: "restricted",
      registry: { addresses: ["https://control.example:8444"], ca: "ca.pem", certificate: "host-1.pem", key: "host-1.key" },
      stateDir: "/var/lib/entityos-agent",
      runtimeDir: "/run/entityos-agent",
      groundDir: "/run/entityos-ground",
      gate: {
        servicePorts: [443],
        listeners: { ip: 8441, ipcert: 8442, roaming: 8443 },
        lanes: { ip: true, ipcert: false, roaming: false },
        management: { ports: [22], networks: [] },
        probe: { port: 8440, networks: [] },
        newConnections: { perSecond: 100, burst: 200 },
        openConnections: { perSource: 1_000, roaming: 200 },
      },
      terminator: {
        kind: "none",
        certificate: "/etc/entityos-agent/service.crt",
        application: "/run/entityos-application/http.sock",
        masterSocket: "/run/entityos-terminator/master.sock",
        maxBodyBytes: 104_857_600,
        requestsPer10s: 2_000,
        maxConnections: 4_000,
        expiredCrl: "keep",
      },
      ceiling: { widest4: 24, widest6: 48, rules: 2_000_000 },
      stale: { afterSeconds: 0, action: "keep" },
      compare: { everySeconds: 3_600, upTo: 100_000 },
    });
  });

  it("tells what is missing, all together", () => {
    expect(problems("")).to.deep.equal(["name: is missing", "registry: is missing"]);
  });

  for (const [what, text, told] of [
    ["a name in capitals", "name: Host", /^name: a name is 1 to 63 lower-case letters/],
    [
      "a registry without TLS",
      "registry: { addresses: ['http://control.example'], ca: a, certificate: b, key: c }",
      /^registry\.addresses\.0: /,
    ],
    ["no registry", "registry: { addresses: [], ca: a, certificate: b, key: c }", /^registry\.addresses: /],
    ["a port for two purposes", "gate: { servicePorts: [8441] }", /^gate\.listeners: port 8441 is named for two purposes$/],
    ["SSH as the service", "gate: { servicePorts: [22] }", /^gate\.listeners: port 22 is named for two purposes$/],
    ["a port out of range", "gate: { servicePorts: [65536] }", /^gate\.servicePorts\.0: /],
    ["no service port", "gate: { servicePorts: [] }", /^gate\.servicePorts: /],
    [
      "a management network with host bits",
      "gate: { management: { networks: [203.0.113.7/24] } }",
      /^gate\.management\.networks\.0: .*203\.0\.113\.0\/24\?$/,
    ],
    ["an unknown lane", "gate: { lanes: { vip: true } }", /^gate\.lanes: unknown key "vip"$/],
    ["roaming in the open zone", "zone: open\ngate: { lanes: { roaming: true } }", /^gate\.lanes\.roaming: the open zone has no lanes$/],
    ["a ceiling that is no prefix length", "ceiling: { widest4: 33 }", /^ceiling\.widest4: /],
    ["to close without a time", "stale: { action: close }", /^stale\.afterSeconds: to close when the feed is silent takes a time above 0$/],
    ["management by everyone", "gate: { management: { networks: [0.0.0.0/0] } }", /^gate\.management\.networks\.0: everyone is no network/],
    ["a probe port for everyone", "gate: { probe: { networks: ['::/0'] } }", /^gate\.probe\.networks\.0: everyone is no network/],
    ["an unknown act when stale", "stale: { action: open }", /^stale\.action: /],
    ["a misspelt key", "stateDirectory: /var", /^\(whole file\): unknown key "stateDirectory"$/],
  ] as const) {
    it(`refuses ${what}`, () => {
      const key = text.slice(0, text.indexOf(":"));
      const without = MINIMAL.split(/^(?=\w)/m).filter((part) => !part.startsWith(`${key}:`));
      const found = problems(`${without.join("")}${text}\n`);
      expect(found).to.have.length(1);
      expect(found[0]).to.match(told);
    });
  }
});
