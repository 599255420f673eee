import { once } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";
import { request } from "node:https";
import { expect } from "chai";
import { signSubmission } from "../../../lib/registration/submission.ts";
import { REGISTER } from "../../../registry/http/limits.ts";
import { Streams } from "../../../registry/http/streams.ts";
import { recordAcks } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { Harness, type TestDevice, unsigned } from "../process/harness.ts";
import { RegisterUnderTest } from "./client.ts";

describe("GET /v1/registrations/{id}/events", () => {
  let harness: Harness;
  let register: RegisterUnderTest;
  const open: ClientRequest[] = [];
  beforeEach(async () => {
    harness = await Harness.open();
    register = await RegisterUnderTest.start(harness);
  });
  afterEach(async () => {
    for (const sent of open.splice(0)) sent.destroy();
    await register[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
  });

  const agents = async (...names: string[]) => {
    for (const name of names) {
      const row = {
        name,
        zone: "restricted" as const,
        fingerprint: "f",
        enrolled_at: 1,
        revoked_at: null,
        acked_revision: 0,
        seen_at: null,
      };
      await harness.store.write((db) => all(db.insertInto("agents").values(row)));
    }
  };
  const acknowledge = (name: string, revision: number) =>
    harness.store.write((db) => recordAcks(db, [{ name, revision, seenAt: 1 }]), ["progress"]);
  const proof = (by: { signer: string; privateKey: TestDevice["privateKey"] }) => {
    const submission = unsigned({ selector: "" }, harness.clock.now(), { action: "status", signer: by.signer, addresses: [] });
    const signature = signSubmission(submission, by.privateKey);
    return { "entityos-nonce": submission.nonce, "entityos-time": String(submission.time), "entityos-signature": signature };
  };

  /** Opens a stream; `next` waits for its next event, and gives "end" at its end. */
  async function follow(id: string, headers: Record<string, string>) {
    const path = `/v1/registrations/${id}/events`;
    const sent = request({ host: "127.0.0.1", port: register.port, path, ca: register.ca, servername: "localhost", headers, agent: false });
    open.push(sent);
    sent.on("error", () => {});
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const blocks = eventsOf(response);
    const next = async (): Promise<string> => {
      const { value, done } = await blocks.next();
      return done ? "end" : value;
    };
    return { response, next, close: () => sent.destroy() };
  }

  it("tells stored, processed, and applied on n of m, and ends when all agents have it", async () => {
    await agents("a", "b");
    const code = await harness.code();
    const id = await harness.submit(code);
    const stream = await follow(id, proof({ signer: `code:${code.selector}`, privateKey: code.privateKey }));
    expect(stream.response.headers).to.include({ "content-type": "text/event-stream", "cache-control": "no-store" });
    expect(await stream.next()).to.equal(`event: stored\ndata: {"id":"${id}"}`);
    await using _process = await harness.process();
    expect(await stream.next()).to.equal(`event: processed\ndata: ${JSON.stringify((await harness.outcome(id)).body)}`);
    expect(await stream.next()).to.equal('event: applied\ndata: {"applied":0,"agents":2}');
    await acknowledge("a", 1);
    expect(await stream.next()).to.equal('event: applied\ndata: {"applied":1,"agents":2}');
    await acknowledge("b", 1);
    expect(await stream.next()).to.equal('event: applied\ndata: {"applied":2,"agents":2}');
    expect(await stream.next()).to.equal("end");
  });

  it("tells a refusal and ends", async () => {
    await using _process = await harness.process();
    const code = await harness.code();
    const id = await harness.submit(code, { addresses: ["10.0.0.1"] });
    await harness.outcome(id);
    const stream = await follow(id, proof({ signer: `code:${code.selector}`, privateKey: code.privateKey }));
    await stream.next();
    expect(await stream.next()).to.match(/^event: refused\ndata: \{.*"code":"address_private"/);
    expect(await stream.next()).to.equal("end");
  });

  it("is the same 404 as the registration's for another device, and opens nothing", async () => {
    await using _process = await harness.process();
    const code = await harness.code({}, { uses: 2 });
    const [one, other] = [await harness.device(code), await harness.device(code)];
    const headers = [proof(other), proof({ signer: one.signer, privateKey: other.privateKey }), {}];
    for (const path of [`/v1/registrations/${one.registration}`, `/v1/registrations/${crypto.randomUUID()}`, "/v1/registrations/none"]) {
      for (const header of headers) {
        const [status, events] = [
          await register.send("GET", path, { headers: header }),
          await register.send("GET", `${path}/events`, { headers: header }),
        ];
        expect([events.status, events.text]).to.deep.equal([404, status.text]);
      }
    }
  });

  it("lets so many of one source be open at a time, and a closed one makes room", async () => {
    await agents("a");
    await using _process = await harness.process();
    const device = await harness.device(await harness.code());
    const streams: Awaited<ReturnType<typeof follow>>[] = [];
    for (let n = 0; n < REGISTER.maxStreamsPerSource; n++) streams.push(await follow(device.registration, proof(device)));
    expect((await follow(device.registration, proof(device))).response.statusCode).to.equal(429);
    streams[0]?.close();
    for (;;) if ((await follow(device.registration, proof(device))).response.statusCode === 200) break;
  });

  it("ends its streams when the registry stops, whole, and says when to come again", async () => {
    await agents("a");
    const code = await harness.code();
    const signer = { signer: `code:${code.selector}`, privateKey: code.privateKey };
    const waiting = await follow(await harness.submit(code), proof(signer));
    await using process = await harness.process();
    const device = await harness.device(await harness.code());
    await process[Symbol.asyncDispose]();
    const processed = await follow(device.registration, proof(device));
    for (const stream of [waiting, processed]) await stream.next();
    await register[Symbol.asyncDispose]();
    for (const stream of [waiting, processed]) {
      const rest: string[] = [];
      for (let event = await stream.next(); event !== "end"; event = await stream.next()) rest.push(event);
      expect(rest.at(-1)).to.match(/^retry: 1[0-5]\d\d$/);
      expect(stream.response.complete).to.equal(true);
    }
  });

  it("answers no HEAD", async () => {
    const { status, headers } = await register.send("HEAD", `/v1/registrations/${crypto.randomUUID()}/events`);
    expect([status, headers.allow]).to.deep.equal([405, "GET"]);
  });
});

describe("the open event streams", () => {
  it("are so many in all, and each gives its place back once", () => {
    using streams = new Streams();
    const places = Array.from({ length: REGISTER.maxStreams }, (_, index) => streams.open(`source ${index}`));
    expect(() => streams.open("one more"))
      .to.throw()
      .with.property("code", "streams_full");
    places[0]?.release();
    places[0]?.release();
    expect(places[0]?.signal.aborted).to.equal(true);
    streams.open("one more");
    expect(() => streams.open("one more"))
      .to.throw()
      .with.property("code", "streams_full");
  });
});

/** The blocks of a stream, comments left out. */
async function* eventsOf(response: IncomingMessage): AsyncGenerator<string, undefined> {
  let text = "";
  for await (const chunk of response) {
    const blocks = (text + String(chunk)).split("\n\n");
    text = blocks.pop() ?? "";
    yield* blocks.filter((block) => !block.startsWith(":"));
  }
  return undefined;
}
