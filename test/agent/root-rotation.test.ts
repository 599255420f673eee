import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Belief } from "../../agent/belief.ts";
import { agentConfigSchema } from "../../agent/config.ts";
import { DesiredState } from "../../agent/desired.ts";
import { followedRoots, followRoots } from "../../agent/pins.ts";
import { SmallTrust } from "../../agent/terminator/desired-trust.ts";
import { layoutOf } from "../../agent/terminator/layout.ts";
import { presentCertificate } from "../../agent/terminator/presented.ts";
import { type Authorities, openAuthorities } from "../../registry/ca/authorities.ts";
import { makePki } from "../../registry/ca/files.ts";

const NOW = Date.UTC(2026, 10, 24, 12, 0, 0);
const CEILING = { widest4: 0, widest6: 0, rules: 10 };

describe("an agent while the root is rotated", () => {
  let folder: string;
  let authorities: Authorities;
  let [old, young] = ["", ""];
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "entityos-roots-"));
    await makePki(folder, NOW);
    authorities = openAuthorities(folder, "https://register.example");
    old = authorities.infrastructure.root;
    const next = await authorities.makeNext("root", NOW);
    authorities.activate(next.id);
    young = authorities.infrastructure.root;
    await authorities.makeNext("device", NOW);
  });
  after(() => rmSync(folder, { recursive: true }));

  const roots = () => authorities.all.filter(({ kind }) => kind === "root");
  const devices = () => authorities.all.filter(({ kind }) => kind === "device");
  const idOf = (pem: string) => roots().find(({ certificate }) => certificate === pem)?.id ?? "";
  const stateUnder = (pin: string, followed: readonly string[] = []) => {
    const belief = new Belief(pin, () => NOW);
    belief.followRoots(followed);
    return new DesiredState(CEILING, belief);
  };
  const tell = (desired: DesiredState, cas: readonly { readonly id: string; readonly certificate: string }[]) => {
    for (const { id, certificate: body } of cas) desired.change({ kind: "trust.set", target: "ca", id, body });
  };
  const believed = (desired: DesiredState) => [...desired.trust()].map(({ id }) => id).sort();
  const ids = (cas: readonly { readonly id: string }[]) => cas.map(({ id }) => id).sort();

  it("believes both roots and all that they signed, whichever it pinned, and nothing of a root that nothing ties to it", () => {
    for (const pin of [old, young]) {
      const desired = stateUnder(pin);
      tell(desired, [...devices(), ...roots(), ...authorities.crosses]);
      expect(believed(desired)).to.deep.equal(ids([...devices(), ...roots(), ...authorities.crosses]));
      const untied = stateUnder(pin);
      tell(untied, [...devices(), ...roots()]);
      const own = devices().filter(({ signedBy }) => signedBy === roots().find(({ certificate }) => certificate === pin)?.name);
      expect([own.length, believed(untied)]).to.deep.equal([1, ids([...own, { id: idOf(pin) }])]);
    }
  });

  it("goes on with the new root when the old one has left, also after a restart, and not under another pin", () => {
    const file = join(folder, "roots.json");
    const desired = stateUnder(old);
    tell(desired, [...devices(), ...roots(), ...authorities.crosses]);
    const followed = followRoots(file, old, desired.roots);
    expect([...followed].sort()).to.deep.equal([old, young].sort());
    const gone = [
      ...authorities.crosses.map(({ id }) => id),
      idOf(old),
      ...devices()
        .slice(0, 1)
        .map(({ id }) => id),
    ];
    desired.belief?.followRoots(followed);
    for (const id of gone) desired.change({ kind: "trust.remove", target: "ca", id });
    expect(believed(desired)).to.include(idOf(young));
    const restarted = stateUnder(old, followedRoots(file, old));
    tell(
      restarted,
      roots().filter(({ certificate }) => certificate === young),
    );
    expect(believed(restarted)).to.deep.equal([idOf(young)]);
    const forgetful = stateUnder(old);
    tell(
      forgetful,
      roots().filter(({ certificate }) => certificate === young),
    );
    expect(believed(forgetful)).to.deep.equal([]);
    expect(followedRoots(file, young)).to.deep.equal([]);
    // One that believes nothing says nothing about what is followed.
    expect(followRoots(file, old, [])).to.deep.equal(followed);
    expect([...followRoots(file, old, restarted.roots)]).to.deep.equal([young]);
    writeFileSync(file, "{");
    expect(followedRoots(file, old)).to.deep.equal([]);
  });

  it("gives the terminator every root by itself, and shows the service's certificate with what ties them together", () => {
    const trust = new SmallTrust();
    expect(trust.authorities(old)).to.deep.equal([old]);
    for (const { id, certificate } of [...roots(), ...authorities.crosses]) trust.take("ca", id, certificate);
    expect(trust.authorities(old).sort()).to.deep.equal([old, young].sort());
    expect(trust.crosses().length).to.equal(2);
    trust.take("ca", idOf(old), null);
    expect(trust.authorities(old)).to.deep.equal([young]);
    const layout = layoutOf(folder, "haproxy");
    const config = agentConfigSchema.parse({
      name: "web-1",
      registry: { addresses: ["https://c.example"], ca: "/c", certificate: "/d", key: "/k" },
      stateDir: join(folder, "state"),
      terminator: { kind: "haproxy", certificate: join(folder, "own.crt") },
    });
    const { terminator } = config;
    writeFileSync(terminator.certificate, authorities.infrastructure.chain.slice(0, 900));
    writeFileSync(join(folder, "own.key"), "the key");
    expect(presentCertificate(config, layout, [])).to.equal(terminator);
    expect(existsSync(layout.service)).to.equal(false);
    const shown = presentCertificate(config, layout, trust.crosses());
    expect(shown.certificate).to.equal(layout.service);
    expect(readFileSync(join(folder, "service.key"), "utf8")).to.equal("the key");
    const blocks = readFileSync(layout.service, "utf8").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? [];
    expect(blocks.slice(-2).map((pem) => new X509Certificate(pem).ca)).to.deep.equal([true, true]);
    expect(blocks.slice(-2)).to.deep.equal(trust.crosses());
  });
});
