import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { reaches, serveApplication, statusOf } from "./install.ts";
import { LONG_SCENES } from "./long.ts";
import type { Machine } from "./machine.ts";
import { codeSecret, foundIn, keysOf, logsOf } from "./secrets.ts";
import { ask, type Stand } from "./stand.ts";
import { madeOf, remember } from "./ways.ts";

/** An agent's certificates by state, the latest first. */
async function certificatesOf(registry: Machine, agent: string): Promise<readonly string[]> {
  const { items } = JSON.parse(await registry.sh("entityos cert list --limit 1000 --json")) as {
    items: { subject: string; state: string }[];
  };
  return items.filter(({ subject }) => subject.includes(agent)).map(({ state }) => state);
}

/** Hosts that run, looked through; and one of them that the settings name no more. */
export function removedScenes(stand: () => Stand): void {
  it("have no key and no security code in a command line, in a log of theirs, or in what Terraform said and keeps", async () => {
    const { metal, registry, gates, folder, codes, commandLines } = stand();
    const machines = [registry, ...gates];
    const keys = (await Promise.all(machines.map(keysOf))).flat();
    for (const file of ["/etc/entityos-agent/agent.key", "/etc/entityos-agent/service.key"])
      for (const { name } of gates) expect(keys.map(({ what }) => what)).to.include(`${name}:${file}`);
    expect(keys.filter(({ what }) => what.startsWith(`${registry.name}:/var/lib/entityos-registry/pki/`)).length).to.be.at.least(3);
    expect(codes.length).to.be.at.least(3);
    const secrets = [...keys, ...codes.map(codeSecret)];
    // What is looked for is found where it is.
    const [gate = registry] = gates;
    expect(foundIn(await gate.sh("cat /etc/entityos-agent/agent.key"), secrets)).to.deep.equal([
      `${gate.name}:/etc/entityos-agent/agent.key`,
    ]);
    const lines = [...commandLines.seen];
    expect(
      lines.some((line) => line.includes("agent enroll")),
      "the deploy's commands were seen",
    ).to.equal(true);
    const terraform = [metal.state(), ...metal.logs, readFileSync(join(folder, "cdktf.out/stacks/metal/cdk.tf.json"), "utf8")];
    for (const text of terraform) expect(text).to.not.match(/PRIVATE KEY/);
    for (const text of [...lines, ...terraform, ...(await Promise.all(machines.map(logsOf)))])
      expect(foundIn(text, secrets)).to.deep.equal([]);
  });

  if (!LONG_SCENES) return;
  it("are cleaned one by one: who is named no more has its certificate revoked, and no other host is touched", async () => {
    const { metal, registry, gates } = stand();
    const [kept = registry, removed = registry] = gates;
    for (const machine of [registry, ...gates]) await remember(machine);
    const [was, { pid }] = [await madeOf(kept), await statusOf(kept)];
    const before = await certificatesOf(registry, removed.name);
    expect(before.filter((state) => state === "live").length).to.be.at.least(1);
    metal.without.add(removed.name);
    const { code, said } = await metal.deploy();
    expect(code, said).to.equal(0);
    expect(said)
      .to.include(`${removed.name}: removed`)
      .and.not.match(/not revoked|no certificate of it/);
    expect(await madeOf(removed)).to.deep.equal({ tree: [], contents: [], rendered: "" });
    expect(await removed.sh("nft list tables; ls /run/entityos-metal.lock 2>&1 || true")).to.not.match(/inet entityos|^\/run/m);
    const after = await certificatesOf(registry, removed.name);
    expect(after.filter((state) => state === "revoked").length).to.equal(before.filter((state) => state === "revoked").length + 1);
    expect((await certificatesOf(registry, kept.name)).includes("revoked")).to.equal(false);
    expect(await madeOf(kept)).to.deep.equal(was);
    expect((await statusOf(kept)).pid).to.equal(pid);
  });

  it("come back under their name when the settings name them again, with a certificate of their own", async () => {
    const { metal, registry, gates, registered } = stand();
    const [kept = registry, back = registry] = gates;
    const [{ pid }, before] = [await statusOf(kept), await certificatesOf(registry, back.name)];
    metal.without.delete(back.name);
    const { code, said } = await metal.deploy();
    expect(code, said).to.equal(0);
    await reaches(back, "enforcing");
    await serveApplication(back);
    expect(await ask(stand(), registered, back, { seconds: 30 })).to.equal(`${back.name} answers`);
    const after = await certificatesOf(registry, back.name);
    expect(after.filter((state) => state === "revoked").length).to.equal(before.filter((state) => state === "revoked").length);
    expect(after.filter((state) => state === "live").length).to.be.greaterThan(before.filter((state) => state === "live").length);
    expect((await statusOf(kept)).pid).to.equal(pid);
  });
}
