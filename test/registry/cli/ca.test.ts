import { existsSync, renameSync } from "node:fs";
import { expect } from "chai";
import type { CertificateAuthority } from "../../../lib/admin/api.ts";
import { waitFor } from "../../lab/wait.ts";
import { cli, TestRegistry } from "./registry.ts";

describe("entityos ca", () => {
  let registry: TestRegistry;
  beforeEach(async () => {
    registry = await TestRegistry.start();
  });
  afterEach(() => registry[Symbol.asyncDispose]());

  const shown = () => registry.json<readonly CertificateAuthority[]>("ca", "show");
  const stateOf = async (ca: string) => (await shown()).find(({ id }) => id === ca)?.state ?? "gone";
  const becomes = (ca: string, state: string) =>
    waitFor(`${ca} ${state}`, async () => ((await stateOf(ca)) === state ? true : undefined), { timeoutMs: 30_000 });
  const signing = async (role: string) => (await shown()).find((ca) => ca.role === role && ca.state === "active")?.id ?? "";
  /** The second of that kind signs; nobody has to be waited for. @returns the one before, and it */
  const rotated = async (kind: string, role: string): Promise<readonly [before: string, next: string]> => {
    const before = await signing(role);
    const { exit, out } = await registry.operator("ca", "rotate", "--kind", kind);
    const next = /^made: (\S+); it signs once everybody who must know it does \(entityos ca show\)\n$/.exec(out)?.[1] ?? "";
    expect([exit, next]).to.deep.equal([0, next.replace(before, "")]);
    await becomes(next, "active");
    return [before, next];
  };
  /** Each CA has signed something that lasts: what signed nothing leaves as soon as the next one signs. */
  const used = async (): Promise<void> => {
    await registry.operator("operator", "enroll", "alice", "--out", registry.path("alice"));
    await registry.operator("profile", "set", "cert", "--pattern", "cert");
    const enrolled = await registry.enroll("laptop", await registry.code("--profile", "cert"), "--certificate", "--no-addresses");
    expect(enrolled.exit).to.equal(0);
  };
  const pki = (file: string) => registry.path("state/pki", file);

  for (const [kind, role] of [
    ["device", "device CA"],
    ["infrastructure", "infrastructure CA"],
    ["root", "root"],
  ] as const) {
    it(`rotate --kind ${kind} makes the next ${role}, which signs; the one before is retired, and still shown`, async () => {
      await used();
      const [before, next] = await rotated(kind, role);
      expect([await stateOf(before), next.split("-")[0]]).to.deep.equal(["retired", kind]);
      const { out } = await registry.operator("ca", "show");
      expect(out).to.match(new RegExp(`^${next} +${role} +active +here `, "m"));
      expect(out).to.match(new RegExp(`^${before} +${role} +retired +here `, "m"));
    });
  }

  it("rotate without a kind is of the device CA, and says as JSON what it made", async () => {
    const { next, ...rest } = await registry.json<{ next: string }>("ca", "rotate");
    expect([next.slice(0, 7), rest]).to.deep.equal(["device-", {}]);
    await becomes(next, "active");
  });

  it("rotate is refused while another one runs, and without the root's key; each says what to do", async () => {
    // A root waits for every live agent.
    await registry.operator("agent", "enroll", "host-1", "--out", registry.path("host-1"));
    const { next } = await registry.json<{ next: string }>("ca", "rotate", "--kind", "root");
    await waitFor("the rotation", async () => ((await stateOf(next)) === "next" ? true : undefined));
    const running = await registry.operator("ca", "rotate");
    expect([running.exit, running.out, running.err]).to.deep.equal([
      1,
      "",
      `rotation_running: A rotation to ${next} is under way: 'ca show' says which gates it waits for.\n`,
    ]);
    await waitFor("who is waited for", async () =>
      (await registry.operator("ca", "show")).out.includes(`\n${next} waits for: host-1\n`) ? true : undefined,
    );
    expect((await registry.operator("ca", "retire", next)).exit).to.equal(0);
    await becomes(next, "gone");
    renameSync(pki("root.key"), registry.path("root.key"));
    const away = await registry.operator("ca", "rotate");
    expect([away.exit, away.out, away.err]).to.deep.equal([
      1,
      "",
      "root_key_away: The root's key is not with the registry: put root.key back into its pki folder for this.\n",
    ]);
  });

  it("retire takes out the one before, with its key, all that it signed revoked; a second time it is gone", async () => {
    await used();
    const [before] = await rotated("device", "device CA");
    const retired = await registry.operator("ca", "retire", before, "--reason", "keyCompromise");
    expect(retired).to.deep.equal({ exit: 0, out: `leaves: ${before}, with all that it signed (entityos ca show)\n`, err: "" });
    await becomes(before, "gone");
    expect([existsSync(pki("device.key")), existsSync(pki("device.crt"))]).to.deep.equal([false, false]);
    const { items } = await registry.json<{ items: { subject: string; state: string }[] }>("cert", "list");
    expect(items.filter(({ subject }) => subject.includes(":device:")).map(({ state }) => state)).to.deep.equal(["revoked"]);
    const again = await registry.operator("ca", "retire", before);
    expect(again).to.deep.equal({
      exit: 1,
      out: "",
      err: "authority_unknown: There is no CA of that name.\nSee what there is: entityos ca show\n",
    });
  });

  it("retire says as JSON what leaves, of the infrastructure CA and of the root too", async () => {
    await used();
    const [root] = await rotated("root", "root");
    const [device] = await rotated("device", "device CA");
    const [infrastructure] = await rotated("infrastructure", "infrastructure CA");
    const needed = await registry.operator("ca", "retire", root);
    expect([needed.exit, needed.err]).to.deep.equal([
      1,
      `authority_needed: ${root} is still needed: it signed ${infrastructure}, ${device}: rotate and retire those first.\n`,
    ]);
    for (const ca of [infrastructure, device, root]) {
      expect(await registry.json("ca", "retire", ca)).to.deep.equal({ ca });
      await becomes(ca, "gone");
    }
    expect((await shown()).map(({ role, state }) => `${role} ${state}`)).to.deep.equal([
      "root active",
      "infrastructure CA active",
      "device CA active",
    ]);
  });

  it("retire is refused of a CA that signs, of one that agents need, and where the root's key is away", async () => {
    const active = await signing("device CA");
    expect(await registry.operator("ca", "retire", active)).to.deep.equal({
      exit: 1,
      out: "",
      err: `authority_signs: ${active} signs: rotate it first (ca rotate --kind device).\n`,
    });
    await registry.operator("agent", "enroll", "host-1", "--out", registry.path("host-1"));
    const [infrastructure] = await rotated("infrastructure", "infrastructure CA");
    const needed = await registry.operator("ca", "retire", infrastructure);
    expect([needed.exit, needed.err]).to.deep.equal([
      1,
      `authority_needed: ${infrastructure} is still needed: agents did not take their next certificates yet: host-1.\n`,
    ]);
    const { items } = await registry.json<{ items: { fingerprint: string; subject: string }[] }>("cert", "list");
    const { fingerprint = "" } = items.find(({ subject }) => subject.endsWith(":host-1")) ?? {};
    await registry.operator("cert", "revoke", fingerprint);
    renameSync(pki("root.key"), registry.path("root.key"));
    const away = await registry.operator("ca", "retire", infrastructure);
    const root = await signing("root");
    expect([away.exit, away.err]).to.deep.equal([
      1,
      `root_key_away: The key of ${root}, which signed ${infrastructure}, is not with the registry: put it back into its pki folder, for its list must name that CA.\n`,
    ]);
  });

  for (const [line, exit, says] of [
    ["ca rotate --kind leaf", 64, "usage: --kind is one of device, infrastructure, root: 'leaf' is not.\nSee: entityos ca rotate --help\n"],
    ["ca rotate device", 64, "usage: "],
    ["ca retire", 64, "usage: "],
    ["ca retire device-1a2b3c4d --reason whim", 64, "usage: "],
    ["ca retire device", 65, "request_invalid: "],
    ["ca retire device-00000000", 1, "authority_unknown: "],
    ["ca show all", 64, "usage: "],
  ] as const) {
    it(`ends '${line}' with ${exit}, and nothing was changed`, async () => {
      const before = await shown();
      const ran = await registry.operator(...line.split(" "));
      expect([ran.exit, ran.out, ran.err.slice(0, says.length)]).to.deep.equal([exit, "", says]);
      expect((await shown()).map(({ id, state }) => `${state} ${id}`)).to.deep.equal(before.map(({ id, state }) => `${state} ${id}`));
    });
  }

  it("helps with what can be typed as it stands there", async () => {
    const examples = async (command: string) => /\nExamples\n((?: {2}.*\n)+)/.exec((await cli(["ca", command, "--help"])).out)?.[1];
    expect(await examples("rotate")).to.equal("  entityos ca rotate && entityos ca show\n  entityos ca rotate --kind root\n");
    expect(await examples("retire")).to.equal("  entityos ca retire device-1a2b3c4d --reason keyCompromise\n");
  });
});
