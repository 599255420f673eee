import { delay } from "../../lib/abort.ts";
import { endsOf, PROVOCATIONS } from "../kernel/answers.ts";
import { type Capture, type Packet, startCapture } from "../lab/capture.ts";
import type { Machine } from "./machine.ts";
import type { Device } from "./network.ts";

/** Between two volleys of a stranger. */
const EVERY_MS = 20;

/** Every packet that a machine sent to a device, whatever it was. */
export interface Watch extends AsyncDisposable {
  readonly answers: readonly Packet[];
  /** Volleys that the stranger sent; 0 for a device that was only watched. */
  readonly volleys: number;
}

const watchAt = (device: Device, machine: Machine): Promise<Capture> =>
  startCapture(device.netns, `(src host ${machine.v4} or src host ${machine.v6}) and (dst host ${device.v4} or dst host ${device.v6})`);

/** Writes down what comes to a device from a machine. */
export async function watch(device: Device, machine: Machine): Promise<Watch> {
  const capture = await watchAt(device, machine);
  return { answers: capture.packets, volleys: 0, [Symbol.asyncDispose]: () => capture[Symbol.asyncDispose]() };
}

/** A stranger who knocks without pause with everything that a host without a gate answers, and writes down what comes back. */
export async function provoke(stranger: Device, machine: Machine): Promise<Watch> {
  const mac = (await machine.sh("cat /sys/class/net/host0/address")).trim();
  const packets = PROVOCATIONS.map(({ family, packet }) => packet(endsOf(stranger, machine, family)));
  const capture = await watchAt(stranger, machine);
  const sender = stranger.sender(mac);
  const stop = new AbortController();
  let volleys = 0;
  const knocking = (async () => {
    while (!stop.signal.aborted) {
      await sender.send(packets);
      volleys++;
      await delay(EVERY_MS, stop.signal).catch(() => {});
    }
  })();
  return {
    answers: capture.packets,
    get volleys() {
      return volleys;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await knocking;
      await sender[Symbol.asyncDispose]();
      await capture[Symbol.asyncDispose]();
    },
  };
}
