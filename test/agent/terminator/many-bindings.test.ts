import { once } from "node:events";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { get } from "./client.ts";
import { download } from "./download.ts";
import { nextHaproxyTarget } from "./next-agent.ts";
import { HOUR_MS, makeTestPki } from "./pki.ts";
import { makeTerminatorScene } from "./scene.ts";

const DEVICE = "0198f2c1-7d1e-7000-8000-0123456789ab";
const BINDING = `${DEVICE} 127.0.0.1/32`;
const OTHERS = Array.from({ length: 3_000 }, (_, n) => `${DEVICE} 198.51.${100 + (n >> 8)}.${n & 255}/32`);
const { signal } = new AbortController();

/** Hands everything on to HAProxy's master. @returns the socket's path, and which commands change maps, each with how often it came */
async function counted(masterSocket: string, stack: AsyncDisposableStack) {
  const path = join(masterSocket, "..", "counted.sock");
  const commands: Record<string, number> = {};
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.once("data", (bytes: Buffer) => {
      const [, name] = /^@!\d+ (\w+ map) /.exec(bytes.toString()) ?? [];
      if (name !== undefined && name !== "show map") commands[name] = (commands[name] ?? 0) + 1;
    });
    const master = connect({ path: masterSocket, allowHalfOpen: true });
    for (const [from, to] of [
      [socket, master],
      [master, socket],
    ] as const)
      from.on("error", () => to.destroy()).pipe(to);
  }).listen(path);
  stack.defer(() => void server.close());
  await once(server, "listening");
  return { path, commands };
}

describe("thousands of bindings that ended while the agent was away", () => {
  it("are taken from HAProxy's workers together, with what went on by them, and the others stay", async () => {
    const pki = await makeTestPki();
    await using scene = await makeTerminatorScene({ pki });
    await using stack = new AsyncDisposableStack();
    const [first, second] = [await pki.issue(DEVICE), await pki.issue(DEVICE)];
    const body = JSON.stringify({ expiresAt: Date.now() + HOUR_MS });
    for (const id of [BINDING, ...OTHERS]) scene.desired.change({ kind: "trust.set", target: "binding", id, body });
    await scene.register(first, DEVICE, "both");
    await scene.register(second, DEVICE, "cert");
    const { localPort: ended } = await download(scene.ports.ipcert, pki, first);
    await download(scene.ports.roaming, pki, second);
    const { path, commands } = await counted(scene.config.terminator.masterSocket, stack);
    const { terminator } = scene.config;
    const cut: number[] = [];
    await using next = nextHaproxyTarget({ ...scene, config: { ...scene.config, terminator: { ...terminator, masterSocket: path } } }, cut);
    for (const id of [BINDING, ...OTHERS.slice(1)]) scene.desired.change({ kind: "trust.remove", target: "binding", id });
    await next.resync(scene.desired, signal);
    expect(cut).to.deep.equal([ended]);
    expect(await scene.replacedWorkers()).to.have.length(1);
    expect(commands).to.deep.equal({ "prepare map": 1, "add map": 1, "commit map": 1 });
    expect((await get(scene.ports.ipcert, { ca: pki.root, certificate: first })).status).to.equal(null);
    expect((await get(scene.ports.roaming, { ca: pki.root, certificate: second })).status).to.equal(200);
  }).timeout(60_000);
});
