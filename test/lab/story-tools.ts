import type { Packet, startCapture } from "./capture.ts";
import type { Member } from "./plan.ts";
import type { Answers } from "./probe-messages.ts";
import type { Certified, Scene } from "./scene.ts";

/** What the steps hand on to each other. */
export interface Memory {
  code: string;
  first: string;
  second: string;
  registration?: { readonly sentAt: number; readonly watch: Promise<Answers["watch"]> };
  laptop?: Certified;
}

export interface Outcome {
  /** The one time that counts in this step. */
  readonly ms: number;
  /** A short plain sentence. */
  readonly detail: string;
}

/** The step did not do what it must. */
export class StepFailed extends Error {}

export interface Step {
  readonly key: string;
  readonly title: string;
  run(scene: Scene, memory: Memory): Promise<Outcome>;
}

export const hostFilter = (device: Member): string => `host ${device.address} or host ${device.address6}`;

export const sentBy = (host: Member, packets: readonly Packet[]): readonly Packet[] =>
  packets.filter((packet) => packet.from === host.address || packet.from === host.address6);

/** Sends one last datagram and waits until the capture has it: what happened before is then captured too. */
export async function settle(
  scene: Scene,
  device: number,
  capture: Awaited<ReturnType<typeof startCapture>>,
  host: Member = scene.host(),
): Promise<void> {
  const before = capture.packets.length;
  await scene.probe(device).ask("mark", { host: host.address, port: 9 });
  await capture.until("the last datagram", (packet) => packet.toPort === 9, before);
}

export function demand(fact: boolean, sentence: string): void {
  if (!fact) throw new StepFailed(sentence);
}

export function demandNone(packets: readonly Packet[], sentence: string): void {
  const [first] = packets;
  if (first) throw new StepFailed(`${sentence} ${packets.length} packet(s), first: ${first.from} > ${first.to}: ${first.text}`);
}
