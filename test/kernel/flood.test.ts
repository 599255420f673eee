import { readFileSync } from "node:fs";
import { expect } from "chai";
import { run } from "../lab/exec.ts";
import { waitFor } from "../lab/wait.ts";
import { TCP_FLAG, tcp } from "./frames.ts";
import { connectTo, makeGatedScene } from "./gate.ts";

const PAGE = new URL("../../docs/operations.md", import.meta.url);
const SOURCES = 100;
const PORTS = 40;
/** A quarter of them: packets get lost on a busy machine. */
const TRACKED = (SOURCES * PORTS) / 4;
/** The kernel's own patience is a minute. */
const GONE_WITHIN_MS = 45_000;

/** The settings of the page's drop-in, by name. */
function dropIn(): readonly (readonly [string, string])[] {
  const [, lines = ""] = /# \/etc\/sysctl\.d\/60-entityos-roaming\.conf\n([^`]+)```/.exec(readFileSync(PAGE, "utf8")) ?? [];
  return [...lines.matchAll(/^(\S+) = (\S+)$/gm)].map(([, name = "", value = ""]) => [name, value] as const);
}

describe("lane roaming under forged SYNs, with what the operations page sets", () => {
  it("lets in by either lane meanwhile, and tracks none of them for long", async () => {
    await using scene = await makeGatedScene(3, { lanes: { ip: true, ipcert: true, roaming: true } });
    const [device = scene.host, flooder = scene.host, roamer = scene.host] = scene.devices;
    const { within } = scene.host;
    expect(dropIn()).to.deep.equal([
      ["net.ipv4.tcp_syncookies", "1"],
      ["net.netfilter.nf_conntrack_tcp_timeout_syn_recv", "15"],
      ["net.netfilter.nf_conntrack_tcp_loose", "1"],
    ]);
    for (const [name, value] of dropIn()) await run([...within, "sysctl", "-qw", `${name}=${value}`]);
    await run([...within, "ip", "route", "add", "198.18.0.0/15", "via", flooder.v4]);
    await scene.admit("ip", `${device.v4}/32`);
    const tracked = async () => Number(await run([...within, "sysctl", "-n", "net.netfilter.nf_conntrack_count"]));
    const forged = Array.from({ length: SOURCES * PORTS }, (_, i) =>
      tcp({ from: `198.18.0.${i % SOURCES}`, to: scene.host.v4 }, 1_024 + Math.floor(i / SOURCES), 443, TCP_FLAG.syn),
    );
    const flood = flooder.send(forged);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
    expect(await connectTo(roamer, scene.host.v4)).to.deep.equal({ outcome: "open", label: "roaming" });
    await flood;
    await waitFor("them to be tracked", async () => (await tracked()) > TRACKED || undefined);
    expect(await connectTo(device, scene.host.v4)).to.deep.equal({ outcome: "open", label: "ip" });
    expect(await connectTo(roamer, scene.host.v4)).to.deep.equal({ outcome: "open", label: "roaming" });
    await waitFor("them to be given up", async () => (await tracked()) < TRACKED / 10 || undefined, {
      timeoutMs: GONE_WITHIN_MS,
      everyMs: 200,
    });
  }).timeout(90_000);
});
