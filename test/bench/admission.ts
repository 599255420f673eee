import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { delay } from "../../lib/abort.ts";
import { silentLog } from "../../lib/log.ts";
import { openSqliteStore } from "../../registry/store/sqlite.ts";
import { registryName, storageFile } from "../lab/configs.ts";
import { inNetns, run } from "../lab/exec.ts";
import { paths } from "../lab/folder.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { LAB } from "../lab/plan.ts";
import { operator } from "../lab/programs.ts";
import { Scene } from "../lab/scene.ts";
import { startNftWorker } from "./apply.ts";
import { startLoad } from "./load.ts";
import { seedStorage } from "./seed.ts";
import type { Measured, Wish } from "./stats.ts";

/** Sources that the device registers and knocks from, one after the other (RFC 2544's own network). */
const SOURCES = "198.18.0.0/15";
const PROFILE = "bench";
/** A snapshot of a million rules may take its time. */
const READY_TIMEOUT_MS = 300_000;
const WARMUP = 5;
/** Under load nothing is measured before: until a registry has served some thousand registrations it compiles itself beside them. */
const LOAD_WARMUP_MS = 5_000;

/** Registrations that another client makes in every second meanwhile: of distinct addresses, or each of a certificate. */
const LOAD_PER_SECOND = { addresses: 500, certificates: 1_000 };
type LoadKind = keyof typeof LOAD_PER_SECOND;
const CERTIFICATE_PROFILE = "bench-certificates";
const LOAD_USES = 1_000_000;
/** Each sample is held back by this, so that they spread over many seconds of load. */
const LOAD_PAUSE_MS = 20;

export const measureAdmission = (wish: Wish): Promise<Measured> => measure(wish, null);
export const measureAdmissionUnderLoad = (wish: Wish): Promise<Measured> => measure(wish, "addresses");
export const measureAdmissionBesideCertificates = (wish: Wish): Promise<Measured> => measure(wish, "certificates");

/**
 * From the POST of a registration to the first packet of its address that is let in, `samples` times, with `elements` rules there
 * before. The floor beside each: one durable commit on the same disk, then one element added by a kept-open nft to a bare set as large.
 */
async function measure({ lab: name, elements, samples, progress, signal }: Wish, loaded: LoadKind | null): Promise<Measured> {
  progress(`admission, ${elements} elements: seeding`);
  await using worker = await startNftWorker("bare");
  await worker.ask("seed", { elements });
  await using lab = await startLab({
    name,
    devices: 2,
    signal,
    readyTimeoutMs: READY_TIMEOUT_MS,
    registryConfig: {
      allowNetworks: [LAB.network, LAB.network6, SOURCES],
      limits: { registrationsPerMinute: 1_000_000, registrationsPerHour: 1_000_000_000 },
    },
    async beforeServe(plan) {
      await using store = await openSqliteStore({ file: storageFile(plan), log: silentLog });
      await seedStorage(store, elements);
    },
  });
  await addSources(lab);
  await using scene = await Scene.open(lab);
  await operator(lab.plan, ["profile", "set", PROFILE, "--pattern", "ip", "--addresses", SOURCES]);
  const code = await scene.makeCode("bench", samples + WARMUP, PROFILE);
  const load = loaded === null ? null : await underLoad(lab, scene, loaded);
  if (loaded !== null) await delay(LOAD_WARMUP_MS, signal);
  progress(`admission, ${elements} elements${loaded === null ? "" : ", under load"}: measuring`);
  using disk = new DurableCommit(join(paths(lab.plan).dataOf("registry"), "floor.db"));
  const measured = { samples: [] as number[], floor: [] as number[] };
  for (let i = 0; i < samples + WARMUP; i++) {
    signal.throwIfAborted();
    const source = `198.18.${(i >> 8) & 255}.${i & 255}`;
    const ms = await admit(scene, source, code);
    const floorMs = disk.commit() + (await worker.ask("apply", { address: source })).ms;
    if (i < WARMUP) continue;
    measured.samples.push(ms);
    measured.floor.push(floorMs);
    if (loaded !== null) await delay(LOAD_PAUSE_MS, signal);
  }
  const said = load === null ? "" : ` under ${await load.end()} ${loaded === "certificates" ? "certificates " : ""}a second`;
  return { what: `registration → admitted${said}, ${count(elements)} elements`, ...measured };
}

/** Starts the other client. `end` tells how many registrations it got through in a second. @throws Error when one failed */
async function underLoad(lab: Lab, scene: Scene, kind: LoadKind): Promise<{ end(): Promise<number> }> {
  const [, device] = lab.plan.devices;
  if (device === undefined) throw new Error("the lab has no second device");
  const load = await startLoad(device);
  const certified = kind === "certificates";
  if (certified) await operator(lab.plan, ["profile", "set", CERTIFICATE_PROFILE, "--pattern", "cert"]);
  const code = await scene.makeCode("load", LOAD_USES, certified ? CERTIFICATE_PROFILE : PROFILE);
  const { registerUrl, caFile } = lab.description;
  const perSecond = LOAD_PER_SECOND[kind];
  await load.ask("start", { url: registerUrl, ca: caFile, registry: registryName(lab.plan), code, perSecond, certified });
  return {
    async end() {
      const { perSecond, failed } = await load.ask("stop", {});
      await load[Symbol.asyncDispose]();
      if (failed > 0) throw new Error(`${failed} registrations of the load failed`);
      return perSecond;
    },
  };
}

async function admit(scene: Scene, source: string, code: string): Promise<number> {
  const probe = scene.probe(0);
  const door = { host: scene.host().address, port: LAB.servicePort, localAddress: source };
  const watch = probe.ask("watch", { ...door, everyMs: 1, timeoutMs: 10_000 });
  watch.catch(() => {});
  const { status, body, sentAt } = await scene.register(0, code, [source]);
  if (status !== 201) throw new Error(`the registration was answered with ${status}: ${JSON.stringify(body)}`);
  const { openAt, startedAt } = await watch;
  if (startedAt > sentAt || openAt < sentAt) throw new Error("the packets were not sent around the registration");
  return openAt - sentAt;
}

/** The whole network is local to the device, and the host finds it behind the device. */
async function addSources({ plan }: Lab): Promise<void> {
  const [device] = plan.devices;
  const [host] = plan.hosts;
  if (!device || !host) throw new Error("the lab has no device");
  await run(inNetns(device.netns, ["ip", "route", "add", "local", SOURCES, "dev", "lo"]));
  await run(inNetns(host.netns, ["ip", "route", "add", SOURCES, "via", device.address]));
}

/** One small row, committed durably as Storage commits: WAL, every commit synced. */
class DurableCommit implements Disposable {
  readonly #file: string;
  readonly #db: DatabaseSync;

  constructor(file: string) {
    this.#file = file;
    this.#db = new DatabaseSync(file);
    this.#db.exec("pragma journal_mode = wal; pragma synchronous = full; create table rows (at integer not null)");
  }

  /** Milliseconds that it took. */
  commit(): number {
    const startedAt = performance.now();
    this.#db.exec(`insert into rows values (${Date.now()})`);
    return performance.now() - startedAt;
  }

  [Symbol.dispose](): void {
    this.#db.close();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${this.#file}${suffix}`, { force: true });
  }
}

const count = (elements: number): string => elements.toLocaleString("en-US");
