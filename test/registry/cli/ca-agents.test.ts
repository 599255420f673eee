import { X509Certificate } from "node:crypto";
import { mkdirSync } from "node:fs";
import { expect } from "chai";
import { DesiredState } from "../../../agent/desired.ts";
import { identityOf, readIdentity } from "../../../agent/feed/identity.ts";
import { Renewing } from "../../../agent/feed/renewing.ts";
import type { CertificateAuthority } from "../../../lib/admin/api.ts";
import { silentLog } from "../../../lib/log.ts";
import { waitFor } from "../../lab/wait.ts";
import { startAgent } from "../feed/agent.ts";
import { TestRegistry } from "./registry.ts";

describe("a rotation of the infrastructure CA with an agent that follows", () => {
  it("ends within a minute: the agent comes with its next certificate, and the CA before can be taken out without it", async () => {
    await using registry = await TestRegistry.start();
    await registry.operator("agent", "enroll", "host-1", "--out", registry.path("host-1"));
    const file = (name: string) => registry.path("host-1", name);
    const addresses = [`https://localhost:${registry.controlPort}`];
    const files = { ca: file("ca.pem"), certificate: file("agent.crt"), key: file("agent.key") };
    const stateDir = registry.path("agent-state");
    mkdirSync(stateDir);
    const identity = identityOf({ registry: { addresses, ...files }, stateDir });
    const abort = new AbortController();
    const renewing = new Renewing({
      identity: () => identity,
      service: () => null,
      asks: false,
      onRenewed: (_notAfter, leaving) => leaving && agent.client.reconnect(),
      onServiceRenewed: () => {},
      clock: { now: () => Date.now(), monotonic: () => performance.now() },
      log: silentLog,
    });
    const running = renewing.run(abort.signal);
    const url = addresses[0] ?? "";
    const onRenew = (spreadMs: number) => renewing.soon(spreadMs);
    await using agent = startAgent({ url }, "host-1", files, new DesiredState(), silentLog, { onRenew, stateDir });
    await waitFor("the feed", () => (agent.client.following ? true : undefined));

    const shown = () => registry.json<readonly CertificateAuthority[]>("ca", "show");
    const infrastructure = async (state: string) => (await shown()).find((ca) => ca.role === "infrastructure CA" && ca.state === state)?.id;
    const before = await infrastructure("active");
    const { next } = await registry.json<{ next: string }>("ca", "rotate", "--kind", "infrastructure");
    await waitFor("the next CA", async () => ((await infrastructure("active")) === next ? true : undefined));
    const retire = () => registry.operator("ca", "retire", before ?? "");
    const early = await retire();
    expect([early.exit, early.err]).to.deep.equal([
      1,
      `authority_needed: ${before} is still needed: agents did not take their next certificates yet: host-1.\n`,
    ]);
    await waitFor("the agent's next certificate", async () => ((await retire()).exit === 0 ? true : undefined), { timeoutMs: 60_000 });
    expect(new X509Certificate(readIdentity(identity).cert).issuer.slice(-8)).to.equal(next.slice(-8));
    await waitFor("its end", async () => ((await infrastructure("retired")) === undefined ? true : undefined));
    await registry.operator("profile", "set", "moved", "--addresses", "any");
    const { revision } = await registry.json<{ revision: number }>("status");
    await waitFor("the feed goes on", () => (agent.client.following && agent.desired.revision >= revision ? true : undefined));
    abort.abort(new Error("the test ends"));
    await running;
  });
});
