import { expect } from "chai";
import { parseCsr } from "../../../registry/ca/csr.ts";
import { recordCertificate, revokeCertificate } from "../../../registry/ca/ledger.ts";
import { enrollAgent, renewAgent } from "../../../registry/process/agents.ts";
import { withdrawAuthority } from "../../../registry/process/withdrawal.ts";
import { csr } from "./authorities.ts";
import { rotationScene, START } from "./rotating.ts";

describe("an infrastructure CA whose agents' next certificates are another's", () => {
  const scene = rotationScene([]);
  let before: string;

  const issue = async (name: string) => {
    const issued = await scene.authorities.infrastructure.issueAgent(parseCsr(await csr()), name, START);
    await scene.harness.store.write((db) => recordCertificate(db, issued));
    return issued.fingerprint;
  };
  const enrolled = async (name: string, zone: "open" | "restricted"): Promise<string> => {
    const fingerprint = await issue(name);
    const input = { name, zone, fingerprint, replace: false, now: START, actor: "test" };
    await scene.harness.store.write((db) => enrollAgent(db, scene.harness.lead, input));
    return fingerprint;
  };
  const renewed = async (name: string, presented: string): Promise<void> => {
    const next = await issue(name);
    await scene.harness.store.write((db) => renewAgent(db, scene.harness.lead, { name, presented, next, now: START }));
  };
  /** What the operator is told; "leaves" when it does. */
  const retire = ({ showing = [], connected = [] }: { showing?: readonly string[]; connected?: readonly string[] }) => {
    const input = { authorities: scene.authorities, showing: () => showing, connected, ca: before, now: START } as const;
    return scene.harness.store
      .write((db) => withdrawAuthority(db, scene.harness.lead, { ...input, reason: "superseded", actor: "operator:a" }))
      .then(
        () => "leaves",
        (error: Error) => error.message.replace(before, "CA"),
      );
  };
  const rotated = async (): Promise<void> => {
    scene.taken.add(await scene.begin("infrastructure"));
    await scene.steps();
  };
  beforeEach(async () => {
    await scene.steps();
    before = scene.idOf("infrastructure");
  });

  it("stays until each has its next one and is not seen with the one before", async () => {
    const fingerprint = await enrolled("gate-1", "restricted");
    await rotated();
    const needed = "CA is still needed: agents did not take their next certificates yet: gate-1.";
    expect(await retire({ connected: ["gate-1"] })).to.equal(needed);
    await renewed("gate-1", fingerprint);
    expect(await retire({ connected: ["gate-1"], showing: ["gate-1"] })).to.equal(needed);
    expect(await retire({ connected: ["gate-1"] })).to.equal("leaves");
  });

  it("stays while one is away that may never have got the answer, until what it had before is revoked", async () => {
    const fingerprint = await enrolled("gate-1", "restricted");
    const open = await enrolled("open-1", "open");
    await rotated();
    await renewed("gate-1", fingerprint);
    await renewed("open-1", open);
    expect(await retire({})).to.equal(
      "CA is still needed: agents are away, and were not seen with their next certificates: gate-1. Wait for them, or revoke what they had before.",
    );
    await scene.harness.store.write((db) => revokeCertificate(db, fingerprint, START, "superseded"));
    expect(await retire({})).to.equal("leaves");
  });
});
