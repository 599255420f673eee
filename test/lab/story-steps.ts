import { setTimeout as delay } from "node:timers/promises";
import { startCapture } from "./capture.ts";
import { inNetns, run } from "./exec.ts";
import { LAB } from "./plan.ts";
import { PATIENCE_MS, type Registered, type Scene } from "./scene.ts";
import { CERTIFICATE_STEPS } from "./story-certificates.ts";
import { demand, demandNone, hostFilter, type Memory, type Outcome, type Step, StepFailed, sentBy, settle } from "./story-tools.ts";
import { waitFor } from "./wait.ts";

export const STEPS: readonly Step[] = [
  { key: "strangerRefused", title: "A stranger knocks at every door", run: strangerRefused },
  { key: "codeMade", title: "An operator makes a security code", run: codeMade },
  { key: "registered", title: "A device registers with it", run: registered },
  { key: "admitted", title: "Its first packet is let in", run: admitted },
  { key: "secondRegistered", title: "A second device, same address", run: secondRegistered },
  { key: "firstRevoked", title: "The first device is revoked", run: firstRevoked },
  { key: "secondRevoked", title: "The second device is revoked", run: secondRevoked },
  { key: "flushed", title: "Another program flushes nftables", run: flushed },
  ...CERTIFICATE_STEPS,
];

/** How long silence is listened to. */
const SILENCE_MS = 1_000;
const STREAM = "/stream?bytesPerSecond=2000000";
/** Both devices of the story stand behind device 0's address; nobody ever registers device 1. */
const DEVICE = 0;
const STRANGER = 1;

async function strangerRefused(scene: Scene): Promise<Outcome> {
  await using capture = await startCapture(scene.host().netns, hostFilter(scene.device(STRANGER)));
  const probe = scene.probe(STRANGER);
  const knocks = await Promise.all(scene.doors().map((door) => probe.ask("connect", { ...door, timeoutMs: SILENCE_MS })));
  await settle(scene, STRANGER, capture);
  const heard = capture.packets.filter((packet) => packet.text.startsWith("Flags [S]")).length;
  demand(heard >= knocks.length, `only ${heard} of ${knocks.length} knocks reached the host`);
  demand(
    knocks.every((knock) => knock.outcome === "silent"),
    `a stranger was answered: ${JSON.stringify(knocks)}`,
  );
  demandNone(sentBy(scene.host(), capture.packets), "the host sent the stranger");
  return { ms: SILENCE_MS, detail: `${heard} SYNs over IPv4 and IPv6 arrived, not one packet went back` };
}

async function codeMade(scene: Scene, memory: Memory): Promise<Outcome> {
  const startedAt = performance.now();
  memory.code = await scene.makeCode("story", 2);
  return { ms: performance.now() - startedAt, detail: "for two devices, good for one hour" };
}

async function registered(scene: Scene, memory: Memory): Promise<Outcome> {
  const door = { host: scene.host().address, port: LAB.servicePort };
  const watch = scene.probe(DEVICE).ask("watch", { ...door, everyMs: 1, timeoutMs: PATIENCE_MS });
  watch.catch(() => {});
  const { status, body, sentAt, answeredAt } = await scene.register(DEVICE, memory.code);
  demand(status === 201, `the registration was answered with ${status}: ${JSON.stringify(body)}`);
  memory.first = (body as Registered).device;
  memory.registration = { sentAt, watch };
  return { ms: answeredAt - sentAt, detail: "POST sent → 201: stored, proof verified, rule made" };
}

async function admitted(scene: Scene, memory: Memory): Promise<Outcome> {
  if (!memory.registration) throw new StepFailed("nothing was registered");
  const { sentAt, watch } = memory.registration;
  const { openAt, attempts, startedAt } = await watch;
  demand(startedAt < sentAt, "the first packets were sent too late to show anything");
  demand(openAt > sentAt, "it was let in before it registered");
  const line = await scene.fetch(DEVICE);
  return { ms: openAt - sentAt, detail: `POST sent → admitted, a SYN every 1 ms (${attempts}); "${line}"` };
}

async function secondRegistered(scene: Scene, memory: Memory): Promise<Outcome> {
  const startedAt = performance.now();
  const { device } = await scene.enrol(DEVICE, memory.code, "second");
  const ms = performance.now() - startedAt;
  demand(device !== memory.first, "it was taken for the first device");
  memory.second = device;
  return { ms, detail: "with 'entityos enroll', program start included" };
}

async function firstRevoked(scene: Scene, memory: Memory): Promise<Outcome> {
  const startedAt = performance.now();
  const { revision } = await scene.revoke(memory.first);
  const ms = performance.now() - startedAt;
  await scene.applied(revision);
  const line = await scene.fetch(DEVICE);
  return { ms, detail: `the address stays, for the second device holds it: "${line}"` };
}

async function secondRevoked(scene: Scene, memory: Memory): Promise<Outcome> {
  const probe = scene.probe(DEVICE);
  await using capture = await startCapture(scene.host().netns, hostFilter(scene.device(DEVICE)));
  const door = { host: scene.host().address, port: LAB.servicePort };
  const { download, localPort } = await probe.ask("download", { ...door, path: STREAM, ca: scene.ca });
  const bytesSoFar = async (): Promise<number> => (await probe.ask("progress", { download })).bytes;
  await waitFor("the download to run", async () => (await bytesSoFar()) > 1_000_000 || undefined);
  const startedAt = Date.now();
  const { revision } = await scene.revokeNow(memory.second);
  const appliedAt = await scene.applied(revision);
  await delay(SILENCE_MS);
  await settle(scene, DEVICE, capture);
  const ofDownload = capture.packets.filter((packet) => packet.fromPort === localPort || packet.toPort === localPort);
  const later = ofDownload.filter((packet) => packet.at > appliedAt);
  demandNone(later, "after the agent's word the open connection went on with");
  const knock = await probe.ask("connect", { ...door, timeoutMs: SILENCE_MS / 2 });
  demand(knock.outcome === "silent", `a new connection was answered: ${knock.outcome}`);
  const megabytes = ((await bytesSoFar()) / 1e6).toFixed(1);
  await probe.ask("hangUp", { download });
  return {
    ms: appliedAt - startedAt,
    detail: `request sent → in force; its running download stopped at ${megabytes} MB, not one packet more`,
  };
}

async function flushed(scene: Scene): Promise<Outcome> {
  const door = { host: scene.host().address, port: LAB.servicePort };
  const { status, body } = await scene.register(DEVICE, await scene.makeCode("story, again", 1));
  demand(status === 201, `the registration was answered with ${status}: ${JSON.stringify(body)}`);
  await scene.probe(DEVICE).ask("watch", { ...door, everyMs: 5, timeoutMs: PATIENCE_MS });
  await using capture = await startCapture(scene.host().netns, hostFilter(scene.device(STRANGER)));
  await scene.probe(STRANGER).ask("storm", { targets: scene.doors(), everyMs: 2 });
  await delay(SILENCE_MS / 2);
  await run(inNetns(scene.host().netns, ["nft", "flush", "ruleset"]));
  const flushedAt = Date.now();
  const back = await scene.probe(DEVICE).ask("watch", { ...door, everyMs: 1, timeoutMs: PATIENCE_MS });
  await delay(SILENCE_MS);
  const { attempts, answered } = await scene.probe(STRANGER).ask("calm", {});
  await settle(scene, STRANGER, capture);
  demand(answered === 0, `${answered} of a stranger's ${attempts} knocks were answered`);
  demandNone(sentBy(scene.host(), capture.packets), "the host sent the stranger");
  const line = await scene.fetch(DEVICE);
  return { ms: back.openAt - flushedAt, detail: `set back in full; ${attempts} knocks of a stranger meanwhile, 0 answers; "${line}"` };
}
