import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { metadataFiles } from "../../../infra/aws/boot/metadata.ts";
import { makeScene, type Scene, type Station } from "../../kernel/netns.ts";
import { inNetns, run } from "../../lab/exec.ts";
import { waitFor } from "../../lab/wait.ts";

const METADATA = "169.254.169.254";
const [ANSWERED, REFUSED, SILENT] = [0, 7, 28];

describe("an instance's metadata", function () {
  this.timeout(120_000);
  const stack = new AsyncDisposableStack();
  let scene: Scene;
  let host: Station;
  before(async () => {
    scene = stack.use(await makeScene(2));
    host = scene.host;
    const [service = host, container = host] = scene.devices;
    await ip(service, "address", "add", `${METADATA}/32`, "dev", "lo");
    await service.actor.ask("serve", { port: 80, label: "metadata" });
    await ip(host, "route", "add", METADATA, "via", service.v4);
    await run(inNetns(host.netns, ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0"]));
    await ip(container, "route", "add", METADATA, "via", host.v4);
  });
  after(() => stack.disposeAsync());

  const ip = (station: Station, ...words: readonly string[]) => run(inNetns(station.netns, ["ip", ...words]));
  const nft = (command: string) => run(inNetns(host.netns, ["nft", command]));
  /** How curl ends for a user of a station. */
  const ask = (station: Station, user: string): Promise<number | null> =>
    run(
      inNetns(station.netns, [
        ...["setpriv", `--reuid=${user}`, "--clear-groups", "--"],
        ...["curl", "-sS", "--http0.9", "--max-time", "5", "-o", "/dev/null", `http://${METADATA}/`],
      ]),
    ).then(
      () => ANSWERED,
      // The service sends without end to who asks.
      ({ code }: { code: number | null }) => (code === SILENT ? SILENT : code),
    );

  /** The program of entityos-metadata.service. */
  async function startGuard(): Promise<AsyncDisposable> {
    const folder = mkdtempSync(join(tmpdir(), "eos-metadata-"));
    const program = metadataFiles(METADATA, false)[0]?.text ?? "";
    const [command = "", ...words] = inNetns(host.netns, ["sh", "-c", program]);
    const child = spawn(command, words, { stdio: "ignore", env: { PATH: process.env.PATH, RUNTIME_DIRECTORY: folder } });
    const closed = once(child, "close");
    await waitFor("the rules", async () => (await nft("list tables")).includes("entityos_metadata") || undefined);
    return {
      async [Symbol.asyncDispose]() {
        child.kill("SIGKILL");
        await closed;
        rmSync(folder, { recursive: true });
      },
    };
  }
  const opens = async (station: Station) => (await station.actor.ask("connect", { host: METADATA, port: 80, timeoutMs: 1_000 })).outcome;

  it("answers root alone on its instance, who is told at once that it does not; and nobody whose packets are forwarded", async () => {
    const [, container = host] = scene.devices;
    expect([await opens(host), await ask(host, "nobody"), await opens(container)]).to.deep.equal(["open", SILENT, "open"]);
    await using _guard = await startGuard();
    expect([await opens(host), await ask(host, "nobody"), await opens(container)]).to.deep.equal(["open", REFUSED, "silent"]);
    expect(await nft("flush ruleset").catch(() => "")).to.equal("");
    expect([await opens(host), await ask(host, "nobody"), await opens(container)]).to.deep.equal(["open", REFUSED, "silent"]);
    expect(await nft("delete table inet entityos_metadata").catch(({ stderr }: { stderr: string }) => stderr)).to.match(
      /Operation not permitted/,
    );
  });

  it("has rules that another start of the unit takes over after a kill", async () => {
    await (await startGuard())[Symbol.asyncDispose]();
    expect(await nft("list tables")).to.equal("");
    await using _guard = await startGuard();
    expect(await ask(host, "nobody")).to.equal(REFUSED);
  });
});
