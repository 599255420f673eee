import { expect } from "chai";
import { parseAgentConfig } from "../../agent/config.ts";
import { ReloadRefusedError, reloadPlan } from "../../agent/reload.ts";

const REGISTRY = { addresses: ["https://c.test"], ca: "ca", certificate: "crt", key: "key" };
const state = (more: object, credentials = "1", service = "1") => ({
  config: parseAgentConfig("test", JSON.stringify({ name: "host", registry: REGISTRY, ...more })),
  credentials,
  service,
  pinned: "root",
  notAfter: 1,
  serviceLife: null,
});
const NOTHING = { gate: false, terminator: false, limits: false, feed: false };

describe("a reload's plan", () => {
  for (const [what, more, credentials, plan] of [
    ["nothing", {}, "1", {}],
    ["a port", { gate: { servicePorts: [8443], listeners: { ip: 9441, ipcert: 9442, roaming: 9443 } } }, "1", { gate: true }],
    ["the number of rules", { ceiling: { rules: 5 } }, "1", { limits: true, feed: true }],
    ["an address", { registry: { ...REGISTRY, addresses: ["https://d.test"] } }, "1", { feed: true }],
    ["what a file holds", {}, "2", { feed: true }],
    ["how large a body may be", { terminator: { maxBodyBytes: 5 } }, "1", { terminator: true }],
    ["when the feed is stale", { stale: { afterSeconds: 9 } }, "1", {}],
  ] as const) {
    it(`touches what is concerned by ${what} and nothing else`, () => {
      expect(reloadPlan(state({}), state(more, credentials))).to.deep.equal({ ...NOTHING, ...plan });
    });
  }

  it("touches the terminator when the service's certificate is another one", () => {
    expect(reloadPlan(state({}), state({}, "1", "2"))).to.deep.equal({ ...NOTHING, terminator: true });
  });

  it("refuses another kind of terminator", () => {
    expect(() => reloadPlan(state({}), state({ terminator: { kind: "haproxy" } }))).to.throw(
      ReloadRefusedError,
      /^Cannot change terminator\.kind from 'none' to 'haproxy' while the agent runs: restart it$/,
    );
  });

  it("refuses another socket of HAProxy's master, where the one before would be told of nothing any more", () => {
    expect(() => reloadPlan(state({}), state({ terminator: { masterSocket: "/run/other.sock" } }))).to.throw(
      ReloadRefusedError,
      /^Cannot change terminator\.masterSocket from '\/run\/entityos-terminator\/master\.sock' to '\/run\/other\.sock' while the agent runs: restart it$/,
    );
  });

  it("refuses in one sentence what cannot change while the agent runs", () => {
    expect(() => reloadPlan(state({}), state({ name: "other", stateDir: "/s" }))).to.throw(
      ReloadRefusedError,
      /^Cannot change name from 'host' to 'other', stateDir from '\/var\/lib\/entityos-agent' to '\/s' while the agent runs: restart it$/,
    );
  });
});
