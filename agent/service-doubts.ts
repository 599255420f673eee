import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type AgentConfig, serviceKey } from "./config.ts";
import { unreadable } from "./credentials.ts";
import { serviceFiles, shownFile } from "./service-certificate.ts";

type Settings = Pick<AgentConfig, "zone" | "terminator" | "stateDir" | "gate">;

/** Files of the service without which the agent cannot begin, one sentence each. None where nothing of ours ends TLS. */
export function serviceProblems(config: Settings): string[] {
  const files = serviceFiles(config);
  if (files === null) return [];
  return [files.configured, files.key].flatMap((file) => {
    try {
      readFileSync(file);
      return [];
    } catch (error) {
      return [`terminator.certificate: ${unreadable(file, error)}`];
    }
  });
}

/**
 * What an operator should look at though the agent runs with it, one sentence each. {@link serviceProblems} has none.
 * @param nowMs wall clock
 */
export const doubts = (config: Settings, nowMs: number): string[] => [...serviceDoubts(config, nowMs), ...laneDoubts(config)];

function serviceDoubts(config: Settings, nowMs: number): string[] {
  const files = serviceFiles(config);
  if (files === null) return [];
  const { certificate } = config.terminator;
  const key = serviceKey(config.terminator);
  try {
    const shown = new X509Certificate(readFileSync(shownFile(files)));
    const fits = shown.checkPrivateKey(createPrivateKey(readFileSync(key)));
    return [
      ...(fits ? [] : [`terminator.certificate: ${key} is not the key of ${certificate}: ${config.terminator.kind} refuses them`]),
      ...(nowMs < Date.parse(shown.validTo) ? [] : [`terminator.certificate: ${certificate} ran out at ${shown.validTo}`]),
    ];
  } catch {
    return [`terminator.certificate: ${certificate} holds no certificate in PEM form, or ${key} no private key`];
  }
}

/** A lane for certificates is as good as what asks for them. */
function laneDoubts({ zone, terminator, gate }: Settings): string[] {
  if (zone === "open" || terminator.kind !== "none") return [];
  return (["ipcert", "roaming"] as const)
    .filter((lane) => gate.lanes[lane])
    .map((lane) => {
      const who = lane === "roaming" ? "anybody" : "a registered address";
      return `gate.lanes.${lane}: terminator.kind is none, so nothing of the agent's asks for a certificate: ${who} reaches port ${gate.listeners[lane]}`;
    });
}
