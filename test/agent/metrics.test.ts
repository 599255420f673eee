import { expect } from "chai";
import { AgentMetrics } from "../../agent/metrics.ts";
import { createMetrics } from "../../lib/metrics.ts";
import { STATUS } from "./status.ts";

describe("the agent's metrics", () => {
  it("say what its status says, and how long applies took", async () => {
    const metrics = new AgentMetrics(createMetrics({ process: false }), () => ({
      ...STATUS,
      alarms: [{ name: "clock_skew", message: "" }],
    }));
    metrics.applied({ epoch: "e1", revision: 7, digest: "", atMs: 0, tookMs: 2, changes: 3 });
    const lines = (await metrics.text()).split("\n");
    for (const line of [
      'entityos_agent_state{state="enforcing"} 1',
      'entityos_agent_alarms{alarm="clock_skew"} 1',
      "entityos_agent_revision 7",
      "entityos_agent_rules 1",
      "entityos_agent_floor_held 1",
      "entityos_agent_feed_connected 1",
      "entityos_agent_certificate_not_after_seconds 3",
      "entityos_agent_service_certificate_not_after_seconds 5",
      "entityos_agent_changes_total 3",
      'entityos_agent_apply_seconds_bucket{le="0.0025"} 1',
    ])
      expect(lines).to.include(line);
  });

  it("name no end of a service's certificate where the agent ends no TLS: no alarm on it fires", async () => {
    const metrics = new AgentMetrics(createMetrics({ process: false }), () => ({ ...STATUS, serviceCertificate: null }));
    expect((await metrics.text()).split("\n")).to.include("entityos_agent_service_certificate_not_after_seconds Nan");
  });

  it("say nothing of a state while there is none", async () => {
    expect(await new AgentMetrics(createMetrics({ process: false }), () => null).text()).not.to.include("entityos_agent_state{");
  });
});
