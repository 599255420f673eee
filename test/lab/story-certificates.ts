import { startCapture } from "./capture.ts";
import { LAB } from "./plan.ts";
import { type Certified, type Identity, PATIENCE_MS, type Scene } from "./scene.ts";
import { demand, demandNone, hostFilter, type Memory, type Outcome, type Step, settle } from "./story-tools.ts";
import { waitFor } from "./wait.ts";

/** The second half of the story: certificates. Its device is number 2, whose address is not registered at first. */
export const CERTIFICATE_STEPS: readonly Step[] = [
  { key: "laptopCertified", title: "A laptop registers a certificate", run: laptopCertified },
  { key: "laptopAnywhere", title: "It gets in from anywhere", run: laptopAnywhere },
  { key: "laptopRevoked", title: "It is revoked in a download", run: laptopRevoked },
  { key: "bothNeeded", title: "A vault wants address and certificate", run: bothNeeded },
];

const DEVICE = 2;
const ELSEWHERE = 1;
/** The host where certificates admit from anywhere, and the one where they do not. */
const ROAMING = 1;
const STRICT = 0;
const STREAM = "/stream?bytesPerSecond=2000000";

async function laptopCertified(scene: Scene, memory: Memory): Promise<Outcome> {
  const code = await scene.makeCode("Ada", 1, LAB.certProfile);
  memory.laptop = await scene.certify(DEVICE, code);
  await scene.applied(await scene.headRevision(), scene.host(ROAMING));
  return { ms: memory.laptop.ms, detail: "POST with a CSR → 201 with its certificate, P-256, signed by the device CA" };
}

async function laptopAnywhere(scene: Scene, memory: Memory): Promise<Outcome> {
  const { device, client } = remembered(memory.laptop);
  const startedAt = performance.now();
  const seen = await scene.whoAmI(DEVICE, scene.host(ROAMING), client, PATIENCE_MS);
  const ms = performance.now() - startedAt;
  demandIdentity(seen, {
    "x-entityos-lane": "roaming",
    "x-entityos-device": device,
    "x-entityos-pattern": "cert",
    "x-entityos-subject": "Ada",
  });
  demand((await scene.whoAmI(DEVICE, scene.host(ROAMING))) === null, "without its certificate it was answered too");
  demand(
    (await scene.whoAmI(DEVICE, scene.host(STRICT), client)) === null,
    "a host where all must pass answered an address that is not registered",
  );
  return { ms, detail: "host2 knows it as Ada's; without the certificate not one HTTP byte; host1, which asks for addresses, is silent" };
}

async function laptopRevoked(scene: Scene, memory: Memory): Promise<Outcome> {
  const { device, client } = remembered(memory.laptop);
  const host = scene.host(ROAMING);
  const probe = scene.probe(DEVICE);
  await using capture = await startCapture(host.netns, hostFilter(scene.device(DEVICE)));
  const { download, localPort } = await probe.ask("download", {
    host: host.address,
    port: LAB.servicePort,
    path: STREAM,
    ca: scene.ca,
    client,
  });
  const bytes = async (): Promise<number> => (await probe.ask("progress", { download })).bytes;
  await waitFor("the download to run", async () => (await bytes()) > 1_000_000 || undefined);
  const startedAt = Date.now();
  const { revision } = await scene.revokeNow(device);
  const appliedAt = await scene.applied(revision, host);
  await probe.ask("speak", { download });
  await settle(scene, DEVICE, capture, host);
  const later = capture.packets.filter((packet) => packet.from === host.address && packet.toPort === localPort && packet.at > appliedAt);
  demandNone(later, "after the agent's word the host sent the download");
  const megabytes = ((await bytes()) / 1e6).toFixed(1);
  await probe.ask("hangUp", { download });
  demand((await scene.whoAmI(DEVICE, host, client)) === null, "a new connection with the revoked certificate was answered");
  return {
    ms: appliedAt - startedAt,
    detail: `request sent → in force; the download stopped at ${megabytes} MB, the certificate opens nothing more`,
  };
}

async function bothNeeded(scene: Scene): Promise<Outcome> {
  const code = await scene.makeCode("vault", 1, LAB.bothProfile);
  const { device, client, ms } = await scene.certify(DEVICE, code, ["observed"]);
  const hosts = [scene.host(STRICT), scene.host(ROAMING)];
  const revision = await scene.headRevision();
  await Promise.all(hosts.map((host) => scene.applied(revision, host)));
  for (const host of hosts) {
    const seen = await scene.whoAmI(DEVICE, host, client, PATIENCE_MS);
    demandIdentity(seen, {
      "x-entityos-lane": "ipcert",
      "x-entityos-device": device,
      "x-entityos-pattern": "both",
      "x-entityos-subject": "vault",
    });
    demand((await scene.whoAmI(DEVICE, host)) === null, "its address alone was let in");
    demand((await scene.whoAmI(ELSEWHERE, host, client)) === null, "its certificate alone was let in");
  }
  return { ms, detail: "both halves: in; the address alone, or the certificate from another address: not one HTTP byte, on both hosts" };
}

function remembered(laptop: Certified | undefined): Certified {
  if (laptop === undefined) throw new Error("nothing was certified");
  return laptop;
}

function demandIdentity(seen: Identity | null, expected: Identity): void {
  demand(seen !== null, "it was not let in");
  demand(JSON.stringify(seen) === JSON.stringify(expected), `the application was told ${JSON.stringify(seen)}`);
}
