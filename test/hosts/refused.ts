import { expect } from "chai";
import { statusOf } from "./install.ts";
import type { Machine } from "./machine.ts";
import type { Stand } from "./stand.ts";

/** All that a deploy could change on a host, in one text. */
const stateOf = (machine: Machine): Promise<string> =>
  machine.sh(
    "cat /var/lib/entityos-metal/* /etc/entityos-*/*.yaml | sha256sum; ls -l /etc/entityos-* /var/lib/entityos-metal; dpkg-query -W 'entityos-*'; systemctl show -P ActiveEnterTimestamp entityos-agent entityos-registry",
  );

/** Deploys that are refused, and leave every host as it was. */
export function refusedScenes(stand: () => Stand): void {
  it("are left as they are where a deploy would lock out who deploys, which the plan tells", async () => {
    const { metal, gates } = stand();
    const [gate] = gates;
    if (gate === undefined) throw new Error("unreachable");
    const [was, { pid }] = [await stateOf(gate), await statusOf(gate)];
    const own = metal.agents[gate.name] ?? {};
    metal.agents[gate.name] = { gate: { management: { networks: ["198.51.100.0/28"] } } };
    const { code, said } = await metal.deploy();
    metal.agents[gate.name] = own;
    expect(code).to.not.equal(0);
    const refusal = `${gate.name}: plan: would_lock_out: gate.management.networks does not have 203.0.113.`;
    expect(said.split(refusal).length, "told by the plan and by the deploy").to.be.at.least(3);
    expect(await stateOf(gate)).to.equal(was);
    expect((await statusOf(gate)).pid).to.equal(pid);
  });

  it("keep their registry with all that it holds when the settings give it another name", async () => {
    const { metal, registry, gates } = stand();
    const was = await Promise.all([registry, ...gates].map(stateOf));
    const audit = await registry.sh("entityos audit list --json");
    metal.names.set(registry.name, "registry-2");
    const { code, said } = await metal.deploy();
    metal.names.clear();
    expect(code).to.not.equal(0);
    expect(said).to.include(`registry-2: plan: would_purge_registry: this host is the registry ${registry.name}: `);
    expect(await Promise.all([registry, ...gates].map(stateOf))).to.deep.equal(was);
    expect(await registry.sh("entityos audit list --json")).to.equal(audit);
  });
}
