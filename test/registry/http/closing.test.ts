import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { type App, createApp } from "../../../registry/http/app.ts";
import { waitFor } from "../../lab/wait.ts";
import { serverPki } from "./client.ts";

/** More than the kernel takes for a reader that does not read. */
const LARGE_BYTES = 8 << 20;

describe("a listener of the register role that closes", () => {
  let app: App;
  let ended = false;
  beforeEach(async () => {
    const { key, cert } = await serverPki();
    app = await createApp({ tls: { key, cert }, requestCert: false, onRefused: () => {}, log: silentLog });
    app.get("/large", async (_request, reply) => {
      reply.raw.once("prefinish", () => {
        ended = true;
      });
      return Buffer.alloc(LARGE_BYTES);
    });
    app.get("/endless", async (_request, reply) => reply.send(Readable.from(endless())));
    await app.listen({ host: "127.0.0.1", port: 0 });
  });
  afterEach(() => app.close());

  async function ask(path: string): Promise<IncomingMessage> {
    const { port } = app.server.address() as AddressInfo;
    const { ca } = await serverPki();
    const sent = request({ host: "127.0.0.1", port, path, ca, servername: "localhost", agent: false });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return response;
  }

  it("lets an answer leave that was ended already", async () => {
    const response = await ask("/large");
    await waitFor("the answer to be ended", () => ended || undefined);
    const closed = app.close();
    // Its connection would be cut in the turns of the loop that follow.
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    let bytes = 0;
    for await (const chunk of response) bytes += (chunk as Buffer).length;
    expect(bytes).to.equal(LARGE_BYTES);
    await closed;
  });

  it("waits for no answer that does not end", async () => {
    const cut = once(await ask("/endless"), "error");
    await app.close();
    expect(String((await cut)[0])).to.equal("Error: aborted");
  });
});

async function* endless(): AsyncGenerator<string> {
  yield "one word";
  await new Promise(() => {});
}
