import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makeTestPki } from "../agent/terminator/pki.ts";
import { waitFor } from "../lab/wait.ts";
import { captureOf, endsOf, provoke, sentTo } from "./answers.ts";
import { TCP_FLAG, tcp } from "./frames.ts";
import { connectTo } from "./gate.ts";
import { makeRunningScene, type RunningOptions } from "./running.ts";

const TIMEOUT_MS = 120_000;
const SILENT = { outcome: "silent", label: "" };
const RATES = { perSecond: 100_000, burst: 100_000 };
const gate = (more: object) => ({ gate: { lanes: { ip: true, ipcert: true }, newConnections: RATES, ...more } });

/** An agent whose service manager's ear is here: `said` grows with each word, `ready` waits for the end of the n-th reload. */
async function makeReloadable(devices: number) {
  const said: string[] = [];
  const hear = (word: string) => async () => void said.push(word);
  const notifier: RunningOptions["notifier"] = { reloading: hear("reloading"), ready: hear("ready") };
  const scene = await makeRunningScene(devices, { notifier });
  await waitFor("READY", () => said[0]);
  const reloaded = async (config: object) => {
    const before = said.length;
    scene.reload(config);
    await waitFor("the reload to end", () => said.length === before + 2 || undefined, { timeoutMs: 20_000 });
    expect(said.slice(before)).to.deep.equal(["reloading", "ready"]);
  };
  return { scene, reloaded };
}

describe("a reload", () => {
  it("moves ports and lanes without an answer to strangers or a refusal of the registered", async () => {
    const { scene, reloaded } = await makeReloadable(2);
    await using _scene = scene;
    const [device = scene.host, stranger = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    for (const port of [443, 8000, 9441]) await scene.host.actor.ask("serve", { port, label: `port ${port}` });
    await using capture = await captureOf(scene, stranger);
    await device.actor.ask("startBarrage", { host: scene.host.v4, port: 443, timeoutMs: 2_000 });
    const knocks = [443, 8000, 8441, 9441].map((port) => tcp(endsOf(stranger, scene.host, 4), 40_000 + (port % 1_000), port, TCP_FLAG.syn));
    const knocking = { going: true };
    const storm = (async () => {
      while (knocking.going) await provoke(capture, stranger, knocks);
    })();
    storm.catch(() => {});
    await reloaded(gate({ servicePorts: [443, 8000], management: { networks: ["192.0.2.0/24"] } }));
    expect(await connectTo(device, scene.host.v4, 8000)).to.deep.equal({ outcome: "open", label: "ip" });
    await reloaded(gate({ servicePorts: [443, 8000], listeners: { ip: 9441, ipcert: 9442, roaming: 9443 } }));
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "port 9441" });
    const { opened, failed } = await device.actor.ask("stopBarrage", {});
    expect([opened > 10, failed]).to.deep.equal([true, 0]);
    await reloaded(gate({ servicePorts: [8000] }));
    expect(await connectTo(device, scene.host.v4)).to.deep.equal(SILENT);
    expect(await connectTo(device, scene.host.v4, 8000)).to.deep.equal({ outcome: "open", label: "ip" });
    await reloaded(gate({ servicePorts: [8000], lanes: { ip: false } }));
    expect(await connectTo(device, scene.host.v4, 8000)).to.deep.equal(SILENT);
    knocking.going = false;
    await storm;
    expect(sentTo(capture, stranger)).to.deep.equal([]);
    expect(await scene.nft("list table inet entityos_floor")).not.to.match(/\b(443|9441)\b/);
  }).timeout(TIMEOUT_MS);

  it("answers no stranger at old and new ports while others flush the gate away again and again", async () => {
    const { scene, reloaded } = await makeReloadable(1);
    await using _scene = scene;
    const [stranger = scene.host] = scene.devices;
    for (const port of [443, 8000]) await scene.host.actor.ask("serve", { port, label: `port ${port}` });
    await using capture = await captureOf(scene, stranger);
    const going = { on: true };
    const knocks = [443, 8000].map((port) => tcp(endsOf(stranger, scene.host, 4), 40_000 + (port % 1_000), port, TCP_FLAG.syn));
    const storm = (async () => {
      while (going.on) await provoke(capture, stranger, knocks);
    })();
    const vandal = (async () => {
      while (going.on) {
        if ((await scene.nft("list tables inet")).includes("table inet entityos\n")) await scene.nft("flush ruleset");
      }
    })();
    for (const work of [storm, vandal]) work.catch(() => {});
    for (const port of [8000, 443]) await reloaded(gate({ servicePorts: [port] }));
    going.on = false;
    await Promise.all([storm, vandal]);
    expect(sentTo(capture, stranger)).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("that changes who the agent is, or cannot be used, is refused whole: the old configuration stays", async () => {
    const { scene, reloaded } = await makeReloadable(1);
    await using _scene = scene;
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", `${device.v4}/32`);
    const before = await scene.nft("list table inet entityos_floor");
    for (const config of [
      { name: "other", ...gate({ servicePorts: [8000] }) },
      { stateDir: "/nowhere", ...gate({ servicePorts: [8000] }) },
      { registry: { addresses: [], ca: "-", certificate: "-", key: "-" }, ...gate({ servicePorts: [8000] }) },
      { registry: { addresses: ["https://c.test"], ca: "/nowhere", certificate: "-", key: "-" }, ...gate({ servicePorts: [8000] }) },
    ]) {
      await reloaded(config);
      expect(await scene.alarms()).to.deep.equal(["reload_refused"]);
    }
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
    expect(await scene.nft("list table inet entityos_floor")).to.equal(before);
    await reloaded({});
    expect(await scene.alarms()).to.deep.equal([]);
  }).timeout(TIMEOUT_MS);

  it("lowers and raises the ceiling: what is over it leaves the kernel and comes back", async () => {
    const { scene, reloaded } = await makeReloadable(1);
    await using _scene = scene;
    const [device = scene.host] = scene.devices;
    await scene.admit("ip", "203.0.113.0/24");
    expect((await connectTo(device, scene.host.v4)).outcome).to.equal("open");
    await reloaded({ ceiling: { widest4: 32 } });
    await waitFor("the rule to be held back", async () =>
      (await connectTo(device, scene.host.v4)).outcome === "silent" ? true : undefined,
    );
    expect((await scene.status()).refused).to.equal(1);
    await reloaded({});
    await waitFor("the rule to be back", async () => ((await connectTo(device, scene.host.v4)).outcome === "open" ? true : undefined));
  }).timeout(TIMEOUT_MS);

  it("connects the feed anew when its files changed, and only then", async () => {
    const { scene, reloaded } = await makeReloadable(0);
    await using _scene = scene;
    await scene.admit("ip", "203.0.113.7/32");
    const upgrades = () => scene.control.seen.filter((line) => line.startsWith("upgrade")).length;
    await reloaded({});
    expect(upgrades()).to.equal(1);
    const { certificate } = await scene.control.enroll("host");
    appendFileSync(certificate, "\n");
    await reloaded({});
    await waitFor("another connection", () => upgrades() === 2 || undefined);
    await scene.admit("ip", "203.0.113.8/32");
  }).timeout(TIMEOUT_MS);

  it("has large lists asked for where the registry is now", async () => {
    const pki = await makeTestPki();
    const folder = mkdtempSync(join(tmpdir(), "eos-reload-"));
    const [certificate, key] = [join(folder, "service.crt"), join(folder, "service.key")];
    writeFileSync(certificate, pki.service.certificate);
    writeFileSync(key, pki.service.key, { mode: 0o600 });
    const terminator = { kind: "nginx", certificate, application: join(folder, "application.sock") };
    try {
      await using scene = await makeRunningScene(0, { config: { terminator } });
      const identity = await scene.control.enroll("host");
      await scene.stop();
      const registryAt = (address: string) => ({ terminator, registry: { addresses: [address], ...identity } });
      await scene.start({ config: registryAt("https://127.0.0.1:9") });
      scene.reload(registryAt(scene.control.url));
      const { seen } = scene.control;
      await waitFor("the feed of its new address", async () => (await scene.status()).state === "enforcing" || undefined);
      const body = JSON.parse(await pki.crl("device", 7)) as object;
      const id = pki.deviceCaId;
      await scene.control.commit({ kind: "trust.set", target: "crl", id, body: JSON.stringify({ ...body, der: null }) });
      const asked = () => seen.find((line) => line.includes(id));
      // Reloads for lists come no closer than ten seconds.
      expect(await waitFor("the list to be asked for", asked, { timeoutMs: 40_000 })).to.include(id);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }).timeout(TIMEOUT_MS);
});
