import { join } from "node:path";
import { shellLine, shellWord } from "../../lib/shell.ts";
import { BIN, loginFile, registryName } from "./configs.ts";
import { inNetns } from "./exec.ts";
import { paths } from "./folder.ts";
import type { Lab } from "./lab.ts";
import { LAB, type Member } from "./plan.ts";
import { statusCommand } from "./programs.ts";

type Part = readonly [title: string, command: string];

/** Fresh codes: for an address, and for a certificate. */
export interface Codes {
  readonly address: string;
  readonly certificate: string;
}

/** What a person can do in a standing lab: addresses, fresh codes and commands that can be copied as they are. */
export function whatToTry(lab: Lab, codes: Codes): string {
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
  const parts: readonly Part[] = [
    ["Knock as a stranger (times out)", curl],
    ["Register it", `printf %s ${codes.address} | ${shellLine(inNetns(stranger.netns, [BIN.cli, ...enrol, "--state", state]))}`],
    ["Knock again (answers)", curl],
    ["Who is registered", operator("device", "list")],
    ["Revoke it", operator("device", "revoke", "ID").replace(" ID ", ` "$(${idOf})" `)],
    ["Knock once more (times out)", curl],
    ["Make another code", operator("code", "create", "--subject", "me", "--profile", LAB.profile, "--uses", "1", "--expires", "1h")],
    ...withCertificate(lab, codes.certificate),
    ["Ask the agent", shellLine(statusCommand(plan, host))],
    ["See what the kernel holds", shellLine(inNetns(host.netns, ["nft", "list", "table", "inet", "entityos"]))],
  ];
  const addresses = [
    ["registry", registerUrl, plan.registry.address6],
    ...plan.hosts.map(({ name, address, address6 }) => [name, `https://${address}/`, address6]),
    ...plan.devices.map((device) => [device.name, device.address, device.address6]),
  ].map(([name = "", first = "", second = ""]) => `  ${name.padEnd(10)} ${first.padEnd(24)} ${second}\n`);
  const commands = parts.map(([title, command]) => `  # ${title}\n  ${command}\n`);
  return `\nBoth zones stand. Addresses:\n${addresses.join("")}\nTo try from another terminal, as root, with fresh codes (one use, one hour):\n\n${commands.join("\n")}\nCtrl-C takes everything away.\n`;
}

/** On a host where certificates admit from anywhere, from the last device but one, which is registered nowhere in the story. */
function withCertificate({ plan, description: { registerUrl, caFile } }: Lab, code: string): readonly Part[] {
  const host = plan.hosts.find(({ name }) => plan.roaming.includes(name));
  const device = plan.devices.at(-2);
  if (!host || !device) return [];
  const state = join(paths(plan).of(device.name), "certified");
  const [held, cookies] = [join(state, "certificate"), join(state, "cookies")];
  const enrol = ["enroll", "--url", registerUrl, "--registry", registryName(plan), "--ca", caFile, "--code-file", "-", "--state", state];
  const tls = ["--cacert", caFile, "--cert", join(held, "certificate.pem"), "--key", join(held, "key.pem")];
  const curl = (path: string, ...words: string[]) =>
    inside(device, ["curl", "-sS", "-m", "5", ...tls, ...words, `https://${host.address}${path}`]);
  const login = ["-c", cookies, "-H", "content-type: application/json", "-d", `@${loginFile(plan)}`];
  return [
    ["Get a certificate", `printf %s ${code} | ${inside(device, [BIN.cli, ...enrol, "--certificate", "--no-addresses"])}`],
    [`Come in with it, from anywhere (${host.name} has the lane roaming)`, curl("/whoami")],
    ["Log in at the application besides", curl("/login", ...login)],
    ["Put a file there", curl("/files/hosts", "-b", cookies, "-T", "/etc/hosts")],
    ["Read a part of it", curl("/files/hosts", "-b", cookies, "-r", "0-3")],
  ];
}

const inside = (device: Member, command: readonly string[]): string => shellLine(inNetns(device.netns, command));
