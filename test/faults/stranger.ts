import { type Capture, startCapture } from "../lab/capture.ts";
import { BIN } from "../lab/configs.ts";
import { inNetns } from "../lab/exec.ts";
import { type Peer, startPeer } from "../lab/peer.ts";
import { LAB, type LabPlan, type Member } from "../lab/plan.ts";
import { waitFor } from "../lab/wait.ts";
import type { HandsAnswers, HandsAsks } from "./hands.ts";

export type Hands = Peer<HandsAsks, HandsAnswers>;

export const startHands = (device: Member): Promise<Hands> =>
  startPeer<HandsAsks, HandsAnswers>(inNetns(device.netns, [BIN.run, "test/faults/hands.ts"]));

const DOORS = [LAB.servicePort, 8441, 8442, 8443];
/** Of all knocks the capture keeps those at one door, to see that they arrive; of the answers it keeps every one. */
const SEEN_DOOR = 8443;
const KNOCK_EVERY_MS = 3;
/** Only a knocker or a witness that has ended takes as long, however busy the machine is. */
const KNOCK_TIMEOUT_MS = 60_000;

export interface Silence {
  readonly knocks: number;
  /** Knocks at one of eight doors that were seen to arrive. */
  readonly arrived: number;
  /** Packets that a host sent to the stranger: there must be none. */
  readonly answers: readonly string[];
}

/** Who is never registered and knocks all the time, at every door of every host over IPv4 and IPv6, with a witness on each host. */
export class Stranger implements AsyncDisposable {
  readonly #hosts: readonly Member[];
  readonly #hands: Hands;
  readonly #captures: readonly Capture[];

  private constructor(hosts: readonly Member[], hands: Hands, captures: readonly Capture[]) {
    this.#hosts = hosts;
    this.#hands = hands;
    this.#captures = captures;
  }

  static async start({ hosts }: LabPlan, device: Member): Promise<Stranger> {
    await using stack = new AsyncDisposableStack();
    const { address, address6 } = device;
    const filter = `dst host ${address} or dst host ${address6} or ((src host ${address} or src host ${address6}) and (tcp dst port ${SEEN_DOOR} or udp dst port 9))`;
    const captures: Capture[] = [];
    for (const host of hosts) captures.push(stack.use(await startCapture(host.netns, filter)));
    const hands = stack.use(await startHands(device));
    const targets = DOORS.flatMap((port) => hosts.flatMap((host) => [host.address, host.address6].map((to) => ({ host: to, port }))));
    await hands.ask("knock", { targets, everyMs: KNOCK_EVERY_MS });
    const stranger = new Stranger(hosts, hands, captures);
    const held = stack.move();
    return Object.assign(stranger, { [Symbol.asyncDispose]: () => held.disposeAsync() });
  }

  /** What was heard so far, once everything that was sent before has been seen. */
  async heard(): Promise<Silence> {
    const before = this.#captures.map((capture) => capture.packets.length);
    await Promise.all(
      this.#captures.map((capture, index) =>
        waitFor(
          "a knock to arrive",
          () => capture.packets.slice(before[index]).some((packet) => packet.toPort === SEEN_DOOR) || undefined,
          {
            timeoutMs: KNOCK_TIMEOUT_MS,
          },
        ),
      ),
    );
    const { attempts, answered } = await this.#hands.ask("knocked", {});
    const own = this.#hosts.flatMap((host) => [host.address, host.address6]);
    const packets = this.#captures.flatMap((capture) => capture.packets);
    const answers = packets
      .filter((packet) => own.includes(packet.from))
      .map((packet) => `${packet.from} ${packet.fromPort}: ${packet.text}`);
    if (answered > 0) answers.push(`${answered} connections were answered`);
    return { knocks: attempts, arrived: packets.length - answers.length, answers };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
