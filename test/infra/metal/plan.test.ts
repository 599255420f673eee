import { Testing } from "cdktf";
import { expect } from "chai";
import { desiredOf } from "../../../infra/metal/desired.ts";
import { differencesOf, notesOf, wordsOf } from "../../../infra/metal/differences.ts";
import { HostError } from "../../../infra/metal/errors.ts";
import { parseObserved } from "../../../infra/metal/observed.ts";
import { type HostPlan, planHosts } from "../../../infra/metal/reading.ts";
import type { Host } from "../../../infra/metal/settings.ts";
import { reasonOf } from "../../../infra/metal/ssh.ts";
import { MetalStack } from "../../../infra/metal/stack.ts";
import { answering, base64, folder, STATUS, settings, sound } from "./hosts.ts";

const DAY_MS = 24 * 60 * 60_000;
const YEAR_MS = 365 * DAY_MS;
const NOW = Date.UTC(2026, 10, 24);

const all = ({ registry, agents }: ReturnType<typeof settings>): Host[] => [registry, ...agents];
const words = (host: Host, text: string) => wordsOf(differencesOf(desiredOf(host, folder, "amd64"), parseObserved(text), NOW));

describe("what a plan says of hosts", () => {
  const [registry, web] = all(settings());
  if (registry === undefined || web === undefined) throw new Error("unreachable");

  it("is nothing of hosts that are what they are to be", () => {
    for (const host of [registry, web]) expect(words(host, sound(host, "7"))).to.deep.equal([]);
  });

  it("is nothing of a service that is reading its files anew", () => {
    const text = sound(web, "7");
    expect(text).to.match(/entityos-agent\.service active/);
    const reloading = text.replace("entityos-agent.service active", "entityos-agent.service reloading");
    expect(words(web, reloading)).to.deep.equal([]);
  });

  it("takes no word of Terraform's language from a host, nor what moves a cursor", () => {
    for (const generation of [["$", '{file("/root/.ssh/id")}'].join(""), "%{if true}", "7 8", ""])
      expect(parseObserved(sound(web, generation)).record, generation).to.equal(null);
    expect(parseObserved(sound(web, "7").replace("cli 1.0", "cli \u001b[2K\r1.0")).packages["entityos-cli"]).to.equal("?[2K?1.0");
    expect(new HostError("web-1", "start", "failed", "\u001b[2K\rall is well").message).to.equal("web-1: start: failed: ?[2K?all is well");
  });

  const cases: readonly [change: string, from: RegExp, to: string, said: readonly string[]][] = [
    ["another version", /entityos-agent 1\.0/, "entityos-agent 0.9", ["entityos-agent is 0.9, to be 1.0"]],
    [
      "a package that is gone but for its configuration",
      /installed entityos-cli/,
      "config-files entityos-cli",
      ["entityos-cli is not installed"],
    ],
    ["a changed file", /agent\.yaml [0-9a-f]+/, "agent.yaml 00", ["/etc/entityos-agent/agent.yaml is another"]],
    ["a missing file", /file .*\n/, "", ["/etc/entityos-agent/agent.yaml is not there"]],
    ["a service that failed", /entityos-agent\.service active/, "entityos-agent.service failed", ["entityos-agent.service is failed"]],
    ["a unit that is off at boot", /gate\.service active enabled/, "gate.service active disabled", ["entityos-gate.service is disabled"]],
    ["no enrolment", /enrolled\n/, "", ["it is not enrolled"]],
    ["a deploy that was interrupted", /enrolled\n/, "enrolled\nunfinished\n", ["a deploy of it was interrupted"]],
    [
      "no record",
      /record .*\n/,
      "",
      [
        "entityos-node 1.0 is of another build",
        "entityos-cli 1.0 is of another build",
        "entityos-agent 1.0 is of another build",
        "it was never deployed whole",
      ],
    ],
  ];
  for (const [change, from, to, said] of cases) {
    it(`names ${change}`, () => {
      const text = sound(web, "7");
      expect(text).to.match(from);
      expect(words(web, text.replace(from, to))).to.deep.equal(said);
    });
  }

  it("names an enrolment for the other zone, a certificate for other names and one that ends soon", () => {
    const text = sound(web, "7");
    const record = { generation: "7", packages: parseObserved(text).record?.packages ?? {}, zone: "open" };
    expect(words(web, text.replace(/record .*/, `record ${Buffer.from(JSON.stringify(record)).toString("base64")}`))).to.deep.equal([
      "it is enrolled for the zone open, to be for restricted",
    ]);
    const desired = { ...desiredOf(web, folder, "amd64"), service: ["App.example", "2001:db8::1"] };
    const observed = { ...parseObserved(text), service: { names: ["2001:db8::1", "app.example"], notAfter: NOW + YEAR_MS } };
    expect(wordsOf(differencesOf(desired, observed, NOW))).to.deep.equal([]);
    expect(wordsOf(differencesOf({ ...desired, service: ["b.example"] }, observed, NOW))).to.deep.equal([
      "service.crt is for 2001:db8::1 app.example, to be for b.example",
    ]);
    expect(wordsOf(differencesOf(desired, { ...observed, agentEnds: NOW + DAY_MS }, NOW))).to.deep.equal([]);
    expect(wordsOf(differencesOf(desired, { ...observed, agentEnds: NOW + DAY_MS - 1 }, NOW))).to.deep.equal([
      "its agent's certificate ends on 2026-11-24",
    ]);
    expect(wordsOf(differencesOf(desired, { ...observed, service: null }, NOW))).to.deep.equal(["service.crt is not there"]);
    expect(wordsOf(differencesOf(desired, observed, NOW + YEAR_MS - 100 * DAY_MS))).to.deep.equal(["service.crt ends on 2027-11-24"]);
  });

  it("tells of a feed that is down and of an agent that does not answer, and deploys nothing for it", () => {
    const notes = (change: object | null) => {
      const text = sound(web, "7").replace(/status .*/, change === null ? "status " : `status ${base64({ ...STATUS, ...change })}`);
      expect(words(web, text)).to.deep.equal([]);
      return notesOf(desiredOf(web, folder, "amd64"), parseObserved(text));
    };
    expect(notes({})).to.deep.equal([]);
    expect(notes({ state: "detached", feed: { connected: false }, alarms: [{ name: "stale" }, { name: "crl_old" }] })).to.deep.equal([
      "its agent is detached, the feed is down, alarms: stale, crl_old",
    ]);
    expect(notes(null)).to.deep.equal(["its agent runs and does not answer"]);
    // What would move a terminal's cursor is no state.
    expect(notes({ state: "\u001b[2K" })).to.deep.equal(["its agent runs and does not answer"]);
  });

  it("says that a host would lock out who deploys it, whether or not it differs", async () => {
    const text = sound(web, "7").replace("asked 203.0.113.5 22", "asked 203.0.113.5 2222");
    const [plan] = await planHosts([web], folder, [], () => answering("web-1", text), NOW);
    expect(plan?.differences).to.deep.equal([]);
    expect(plan?.notes).to.deep.equal(["web-1: plan: would_lock_out: gate.management.ports does not have 2222, where its SSH is asked"]);
  });

  it("is refused where a host is a registry that the settings call otherwise, or something else, unless they say that it may be purged", async () => {
    const renamed = { ...registry, connection: { ...registry.connection, name: "reg-2" } };
    const plan = (host: Host, purge: readonly string[]) =>
      planHosts([host], folder, purge, () => answering(host.connection.name, sound(registry, "7")), NOW).then(() => "planned", String);
    const how =
      "with it go Storage and the CAs' keys. To keep them, name the host reg and its role registry; to purge them, say purge: [reg] in the settings";
    expect(await plan(registry, [])).to.equal("planned");
    expect(await plan(renamed, [])).to.equal(`HostError: reg-2: plan: would_purge_registry: this host is the registry reg: ${how}`);
    expect(await plan(web, [])).to.equal(`HostError: web-1: plan: would_purge_registry: this host is the registry reg: ${how}`);
    expect(await plan(renamed, ["reg-2"])).to.include("would_purge_registry");
    expect(await plan(renamed, ["reg"])).to.equal("planned");
  });

  it("names a host that there are no packages for, and goes on with the others", async () => {
    const said = new Map([
      ["web-1", sound(web, "3").replace("architecture amd64", "architecture i386")],
      ["reg", sound(registry, "7")],
    ]);
    const plans = await planHosts(
      [web, registry],
      folder,
      [],
      ({ connection }) => answering(connection.name, said.get(connection.name) ?? null),
      NOW,
    );
    expect(plans[0]?.differences[0]).to.match(/^web-1: plan: no_package: .*i386/);
    expect(plans[1]?.differences).to.deep.equal([]);
  });

  it("is the generation that the host has when nothing differs, and a new one when something does or when it cannot be read", async () => {
    const hosts = all(settings());
    const said = [sound(registry, "7"), sound(web, "3").replace("active", "failed"), null, "architecture amd64\n"];
    const plans = await planHosts(
      hosts,
      folder,
      [],
      ({ connection }) => answering(connection.name, said[hosts.findIndex((host) => host.connection === connection)] ?? null),
      NOW,
    );
    expect(plans.map(({ host, generation }) => [host.connection.name, generation])).to.deep.equal([
      ["reg", "7"],
      ["web-1", "2026-11-24T00:00:00.000Z"],
      ["web-2", "2026-11-24T00:00:00.000Z"],
      ["web-3", "2026-11-24T00:00:00.000Z"],
    ]);
    expect(plans[2]?.differences).to.deep.equal(["web-2: connect: unreachable: no answer"]);
    expect(plans[3]?.differences).to.include("entityos-agent is not installed");
  });

  it("does not believe a record that somebody broke", () => {
    expect(parseObserved("architecture amd64\nrecord bm90IGpzb24=\n").record).to.equal(null);
    expect(() => parseObserved("bash: dpkg: command not found\n")).to.throw("no architecture");
  });
});

describe("what ssh says", () => {
  it("is told by code", () => {
    expect(reasonOf(255, "ssh: connect to host 203.0.113.1 port 22: Connection refused")[0]).to.equal("unreachable");
    expect(
      reasonOf(255, "No ED25519 host key is known for web-1 and you have requested strict checking.\nHost key verification failed."),
    ).to.deep.equal(["host_key_differs", "it shows another key than ssh.hostKey"]);
    expect(reasonOf(255, "root@203.0.113.1: Permission denied (publickey).")[0]).to.equal("login_refused");
    expect(reasonOf(100, "E: dpkg was interrupted")).to.deep.equal(["failed", "E: dpkg was interrupted"]);
    expect(reasonOf(null, "")).to.deep.equal(["timed_out", "it did not end in time"]);
  });
});

interface Resource {
  readonly depends_on?: readonly string[];
  readonly triggers_replace?: Readonly<Record<string, string>>;
  readonly lifecycle?: { readonly prevent_destroy?: boolean };
  readonly for_each?: Readonly<Record<string, unknown>>;
  readonly provisioner?: readonly { readonly "local-exec": { readonly command: string; readonly when?: string } }[];
}

describe("the metal stack", () => {
  const resources = (width: number, purge: readonly string[] = []): Readonly<Record<string, Resource>> => {
    const made = { ...settings(width), purge };
    const plans = all(made).map(
      (host): HostPlan => ({ host, generation: "3", digest: "d", summary: { "entityos-cli": "1.0" }, differences: [], notes: [] }),
    );
    const stack = new MetalStack(Testing.app(), made, plans, { root: "../../..", settings: "infra/environments/lab.yaml" });
    return (JSON.parse(Testing.synth(stack)) as { resource: { terraform_data: Record<string, Resource> } }).resource.terraform_data;
  };
  const waits = (all: Readonly<Record<string, Resource>>, name: string) =>
    all[`deploy-${name}`]?.depends_on?.filter((one) => one.includes("deploy-"));

  it("begins with the registry, and lets as many go on at a time as the width says, after all of those before", () => {
    const one = resources(1);
    expect(["reg", "web-1", "web-2", "web-3"].map((name) => waits(one, name))).to.deep.equal([
      [],
      ["terraform_data.deploy-reg"],
      ["terraform_data.deploy-web-1"],
      ["terraform_data.deploy-web-2"],
    ]);
    const two = resources(2);
    expect(["web-1", "web-2", "web-3"].map((name) => waits(two, name))).to.deep.equal([
      ["terraform_data.deploy-reg"],
      ["terraform_data.deploy-reg"],
      ["terraform_data.deploy-web-1", "terraform_data.deploy-web-2"],
    ]);
  });

  it("deploys at a replacement, and removes only when a host is named no more", () => {
    const made = resources(1);
    for (const [name, resource] of Object.entries(made)) {
      const [step] = resource.provisioner ?? [];
      const removes = !name.startsWith("deploy-");
      expect(step?.["local-exec"].when, name).to.equal(removes ? "destroy" : undefined);
      expect(resource.triggers_replace === undefined, name).to.equal(removes);
    }
    expect(Object.keys(made["agent-hosts"]?.for_each ?? {})).to.deep.equal(["web-1", "web-2", "web-3"]);
    // Terraform itself refuses a plan by which a registry would go.
    expect(made["registry-hosts"]?.lifecycle).to.deep.equal({ prevent_destroy: true });
    expect(resources(1, ["reg"])["registry-hosts"]?.lifecycle?.prevent_destroy).to.equal(false);
    expect(made["agent-hosts"]?.lifecycle?.prevent_destroy).to.equal(false);
    expect(made["agent-hosts"]?.depends_on).to.deep.equal(["terraform_data.registry-hosts"]);
    expect(made["deploy-web-2"]?.triggers_replace).to.deep.equal({ generation: "3", "entityos-cli": "1.0" });
  });
});
