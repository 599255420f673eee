import { hash, X509Certificate } from "node:crypto";
import { expect } from "chai";
import { Renewing } from "../../../agent/feed/renewing.ts";
import type { ServiceFiles } from "../../../agent/service-certificate.ts";
import { revokeListed } from "../../../registry/process/listed-certificates.ts";
import { all } from "../../../registry/store/store.ts";
import { waitFor } from "../../lab/wait.ts";
import { MemoryLog } from "../../registry/admin/control.ts";
import { agentScene } from "./agent-scene.ts";

const NOBODY = "https://localhost:1";

describe("an agent whose CA leaves", () => {
  const scene = agentScene();

  interface Around {
    readonly draw?: number;
    readonly monotonic?: () => number;
    readonly asks?: boolean;
    readonly address?: () => string | undefined;
    readonly service?: ServiceFiles;
  }
  /** Renews until it is disposed of; `told` is what it did. */
  function renewing({ draw = 0, monotonic = () => performance.now(), asks = false, address = () => undefined, service }: Around = {}) {
    const abort = new AbortController();
    const told: boolean[] = [];
    const renewals: string[] = [];
    const log = new MemoryLog();
    const one = new Renewing({
      identity: () => ({ ...scene.identity(), addresses: [address() ?? scene.identity().addresses[0] ?? ""] }),
      service: () => service ?? null,
      asks,
      onRenewed: (_notAfter, leaving) => {
        told.push(leaving);
        renewals.push("the agent's");
      },
      onServiceRenewed: () => renewals.push("the service's"),
      clock: { now: () => Date.now(), monotonic },
      log,
      random: () => draw,
    });
    const running = one.run(abort.signal);
    return {
      one,
      told,
      renewals,
      log,
      renewed: (times: number) => waitFor("a renewal", () => (told.length >= times ? true : undefined)),
      async [Symbol.asyncDispose]() {
        abort.abort(new Error("the test ends"));
        await running;
      },
    };
  }

  it("asks for its next certificate at its own moment of the window, though much of its life is left", async () => {
    await using soon = renewing({ draw: 0.001 });
    await using late = renewing({ draw: 0.9 });
    for (const { one } of [soon, late]) one.soon(100_000);
    await soon.renewed(1);
    expect([soon.told, late.told]).to.deep.equal([[true], []]);
  });

  it("goes on until it has it: what fails is tried again", async () => {
    let down = true;
    await using told = renewing({ address: () => (down ? NOBODY : undefined) });
    told.one.soon(0);
    await waitFor("an attempt in vain", () => (told.log.lines.join().includes("Cannot renew the agent's") ? true : undefined));
    down = false;
    await told.renewed(1);
    expect(told.told).to.deep.equal([true]);
  });

  it("has its service's certificate renewed before its own, once: the CA is not taken out while the agent's is of it", async () => {
    await using told = renewing({ service: await scene.makeService(["app.example"]) });
    scene.control.now += 5_000;
    told.one.soon(0);
    await told.renewed(1);
    expect(told.renewals).to.deep.equal(["the service's", "the agent's"]);
  });

  it("waits with its own for its service's, but for no more than ten minutes", async () => {
    let atMs = 0;
    const service = await scene.makeService(["app.example"]);
    const revoked = {
      fingerprint: hash("sha256", new X509Certificate(scene.read("service.crt")).raw),
      reason: "superseded",
      now: scene.control.now,
      actor: "test",
    } as const;
    await scene.control.store.write((db) => revokeListed(db, scene.control.lead, revoked));
    await using told = renewing({ service, monotonic: () => atMs });
    const refused = () => told.log.lines.filter((line) => line.startsWith("Cannot renew the service's")).length;
    told.one.soon(0);
    await waitFor("a second attempt", () => (refused() > 1 ? true : undefined));
    expect(told.told).to.deep.equal([]);
    atMs = 600_000;
    await told.renewed(1);
    expect(told.renewals).to.deep.equal(["the agent's"]);
    // The next CA that leaves is waited with anew.
    atMs = 1_200_000;
    const before = refused();
    told.one.soon(0);
    await waitFor("another attempt", () => (refused() > before ? true : undefined));
    expect(told.renewals).to.have.length(1);
  });

  it("asks once, however often it is told, and not again within ten minutes", async () => {
    let atMs = 0;
    await using told = renewing({ monotonic: () => atMs });
    told.one.soon(0);
    told.one.soon(0);
    await told.renewed(1);
    atMs = 599_000;
    const begun = performance.now();
    told.one.soon(0);
    await told.renewed(2);
    expect(performance.now() - begun).to.be.at.least(990);
  });

  it("asks by itself in the open zone, where nobody tells it", async () => {
    await scene.control.store.write((db) =>
      all(
        db.insertInto("authorities").values({
          ...{ ca: "infrastructure-00000000", kind: "infrastructure", name: "another", state: "active" },
          ...{ certificate: "", told: null, since: 1 },
        }),
      ),
    );
    await using told = renewing({ asks: true });
    await told.renewed(1);
    expect(told.told).to.deep.equal([true]);
  });

  it("is not asked in the open zone while its CA signs", async () => {
    await using told = renewing({ asks: true });
    await waitFor("the question's answer", () => (scene.control.requests > 0 ? true : undefined));
    told.one.soon(0);
    await told.renewed(1);
    expect(scene.control.requests).to.equal(2);
  });
});
