import { join } from "node:path";
import { BIN, registryName } from "./configs.ts";
import { inNetns, shellLine, shellWord } from "./exec.ts";
import { paths } from "./folder.ts";
import type { Lab } from "./lab.ts";
import { LAB } from "./plan.ts";
import { statusCommand } from "./programs.ts";

/** What a person can do in a standing lab: addresses, a fresh code and commands that can be copied as they are. */
export function whatToTry(lab: Lab, code: string): string {
  const { plan, description } = lab;
  const [host] = plan.hosts;
  const stranger = plan.devices.at(-1);
  if (!host || !stranger) return "";
  const { registerUrl, caFile, controlSocket } = description;
  const curl = shellLine(inNetns(stranger.netns, ["curl", "-sS", "-m", "2", "--cacert", caFile, `https://${host.address}/`]));
  const state = join(paths(plan).of(stranger.name), "mine");
  const registry = registryName(plan);
  const enrol = ["enroll", "--url", registerUrl, "--registry", registry, "--ca", caFile, "--code-file", "-", "--address", "observed"];
  const idOf = `sed -nE 's/.*"device": ?"([^"]+)".*/\\1/p' ${shellWord(join(state, "device.json"))}`;
  const operator = (...args: string[]) => shellLine([BIN.cli, ...args, "--socket", controlSocket]);
  const parts: readonly (readonly [string, string])[] = [
    ["Knock as a stranger (times out)", curl],
    ["Register it", `printf %s ${code} | ${shellLine(inNetns(stranger.netns, [BIN.cli, ...enrol, "--state", state]))}`],
    ["Knock again (answers)", curl],
    ["Who is registered", operator("device", "list")],
    ["Revoke it", operator("device", "revoke", "ID").replace(" ID ", ` "$(${idOf})" `)],
    ["Knock once more (times out)", curl],
    ["Make another code", operator("code", "create", "--subject", "me", "--profile", LAB.profile, "--uses", "1", "--expires", "1h")],
    ["Ask the agent", shellLine(statusCommand(plan, host))],
    ["See what the kernel holds", shellLine(inNetns(host.netns, ["nft", "list", "table", "inet", "entityos"]))],
  ];
  const addresses = [
    ["registry", registerUrl, plan.registry.address6],
    [host.name, `https://${host.address}/`, host.address6],
    ...plan.devices.map((device) => [device.name, device.address, device.address6]),
  ].map(([name = "", first = "", second = ""]) => `  ${name.padEnd(10)} ${first.padEnd(24)} ${second}\n`);
  const commands = parts.map(([title, command]) => `  # ${title}\n  ${command}\n`);
  return `\nBoth zones stand. Addresses:\n${addresses.join("")}\nTo try from another terminal, as root, with a fresh code (one use, one hour):\n\n${commands.join("\n")}\nCtrl-C takes everything away.\n`;
}
