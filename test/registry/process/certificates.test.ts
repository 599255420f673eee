import { createHash, X509Certificate } from "node:crypto";
import { expect } from "chai";
import type { DeviceCa } from "../../../registry/ca/device.ts";
import { withdrawCode } from "../../../registry/process/codes.ts";
import { setProfile } from "../../../registry/process/profiles.ts";
import { verifyAudit } from "../../../registry/store/audit.ts";
import { readChanges } from "../../../registry/store/queries.ts";
import { all, type Store, type Together, type Topic } from "../../../registry/store/store.ts";
import { trustBody } from "../../../registry/store/trust.ts";
import { csr, testAuthorities } from "./authorities.ts";
import { Harness, HOUR_MS } from "./harness.ts";

const NOW = Date.UTC(2026, 10, 24, 12, 0, 0);

const fingerprintOf = (pem: string): string => new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();

interface Certificate {
  readonly pem: string;
  readonly chain: string;
  readonly notAfter: number;
}

/** Storage, and how many inputs each run of a command for many had. */
function countingTogether(store: Store): { readonly store: Store; readonly sizes: readonly number[] } {
  const sizes: number[] = [];
  const counting = new Map<unknown, Together<never, never>>();
  const counted =
    (command: Together<never, never>): Together<never, never> =>
    (db, inputs) => {
      sizes.push(inputs.length);
      return command(db, inputs);
    };
  const writeTogether = (command: Together<never, never>, input: never, wakes?: readonly Topic[]): Promise<never> => {
    const known = counting.get(command) ?? counted(command);
    counting.set(command, known);
    return store.writeTogether(known, input, wakes);
  };
  return {
    store: {
      write: (command, wakes) => store.write(command, wakes),
      writeTogether: writeTogether as Store["writeTogether"],
      read: (command) => store.read(command),
      watch: (topic, listener) => store.watch(topic, listener),
      ride: (topic, rider) => store.ride(topic, rider),
      snapshot: () => store.snapshot(),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    },
    sizes,
  };
}

describe("Process with a certificate request", () => {
  let harness: Harness;
  let authorities: Awaited<ReturnType<typeof testAuthorities>>;
  before(async () => {
    authorities = await testAuthorities(NOW);
  });
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = NOW;
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const certificates = () => harness.rows((db) => all(db.selectFrom("certificates").selectAll().where("device", "is not", null)));
  const devices = async () => (await harness.rows((db) => all(db.selectFrom("devices").select("id")))).length;
  const changes = async (after: number) =>
    (await harness.rows((db) => readChanges(db, { after, limit: 100 }))).map(({ body }) => JSON.parse(body) as Record<string, string>);
  const start = (device: DeviceCa | null = authorities.device) => harness.process([], { ...authorities, device });

  it("tells the agents at its start which CAs stand above devices' certificates, once", async () => {
    await (await start())[Symbol.asyncDispose]();
    await (await start())[Symbol.asyncDispose]();
    const [root, , device] = authorities.all;
    expect((await changes(0)).filter(({ target }) => target === "ca")).to.deep.equal([
      { kind: "trust.set", target: "ca", id: root?.id, body: root?.certificate },
      { kind: "trust.set", target: "ca", id: device?.id, body: device?.certificate },
    ]);
    expect([root?.id.slice(0, 5), device?.id.slice(0, 7)]).to.deep.equal(["root-", "device-"]);
  });

  it("signs it, lists the certificate and lets it in, all with the registration that it came with", async () => {
    await using _process = await start();
    const code = await harness.code({ pattern: "cert", certificateLifetimeMs: 2 * HOUR_MS });
    const { status, body, revision } = await harness.register(code, { addresses: [] }, { csr: await csr() });
    expect([status, body.pattern, body.addresses]).to.deep.equal([201, "cert", []]);
    const { pem, chain, notAfter } = body.certificate as Certificate;
    const certificate = new X509Certificate(pem);
    const urn = `urn:entityos:device:${String(body.device)}`;
    expect([certificate.subjectAltName, notAfter]).to.deep.equal([`URI:${urn}`, NOW + 2 * HOUR_MS]);
    expect(certificate.verify(new X509Certificate(chain).publicKey)).to.equal(true);
    const fingerprint = createHash("sha256").update(certificate.raw).digest("hex");
    const serial = certificate.serialNumber.toLowerCase();
    const [listed, ...more] = await certificates();
    expect(more).to.deep.equal([]);
    expect(listed).to.deep.include({ fingerprint, serial, device: body.device, subject: urn, state: "live", not_after: notAfter, pem });
    expect(await changes(revision - 1)).to.deep.equal([
      {
        kind: "trust.set",
        target: "certificate",
        id: fingerprint,
        body: JSON.stringify({
          device: body.device,
          pattern: "cert",
          subject: "somebody",
          serial,
          issuer: authorities.device.id,
          notAfter,
        }),
      },
    ]);
  });

  it("for either takes it alone or with addresses", async () => {
    await using _process = await start();
    const code = await harness.code({ pattern: "either" }, { uses: 2 });
    const alone = await harness.register(code, { addresses: [] }, { csr: await csr("P-384") });
    const both = await harness.register(code, {}, { csr: await csr("Ed25519") });
    expect([alone.body.addresses, both.body.addresses]).to.deep.equal([
      [],
      [{ prefix: "8.8.4.4/32", lane: "ip", expiresAt: NOW + 7 * 24 * HOUR_MS }],
    ]);
    expect(await harness.rules()).to.have.length(1);
    expect(await certificates()).to.have.length(2);
  });

  it("for both binds each address to the device, until the last of its grants ends", async () => {
    await using _process = await start();
    const code = await harness.code({ pattern: "both", addressLifetimeMs: HOUR_MS }, { uses: 2 });
    const one = await harness.register(code, { addresses: ["8.8.4.4", "2606:4700::/64"] }, { csr: await csr() });
    const two = await harness.register(code, { addresses: ["8.8.4.4"] }, { csr: await csr() });
    const bindings = async () =>
      (await harness.rows((db) => all(db.selectFrom("trust").selectAll().where("target", "=", "binding")))).map(
        ({ id, body }) => `${id} ${body}`,
      );
    const until = `{"expiresAt":${NOW + HOUR_MS}}`;
    const expected = [
      `${one.body.device} 2606:4700::/64 ${until}`,
      `${one.body.device} 8.8.4.4/32 ${until}`,
      `${two.body.device} 8.8.4.4/32 ${until}`,
    ];
    expect(await bindings()).to.deep.equal(expected);
    expect(await harness.rules()).to.deep.equal([`ipcert 2606:4700::/64 ${NOW + HOUR_MS}`, `ipcert 8.8.4.4/32 ${NOW + HOUR_MS}`]);
    harness.now = NOW + HOUR_MS;
    await harness.until(async () => (await bindings()).length === 0);
    expect(await harness.rules()).to.deep.equal([]);
  });

  const refusals: readonly [pattern: "ip" | "cert" | "either" | "both", addresses: string[], csr: "good" | "bad" | null, code: string][] = [
    ["ip", ["observed"], "good", "certificate_not_offered"],
    ["ip", [], "good", "nothing_requested"],
    ["cert", [], null, "certificate_required"],
    ["cert", ["observed"], "good", "addresses_not_offered"],
    ["cert", ["observed"], null, "addresses_not_offered"],
    ["cert", [], "bad", "csr_format"],
    ["either", ["observed"], null, "certificate_required"],
    ["either", ["10.0.0.1"], "good", "address_private"],
    ["both", ["observed"], null, "certificate_required"],
    ["both", [], "good", "nothing_requested"],
    ["both", ["observed"], "bad", "csr_format"],
  ];
  for (const [pattern, addresses, request, problem] of refusals) {
    it(`refuses ${request ?? "no"} CSR with ${addresses.join() || "no address"} for ${pattern} with ${problem}, and spends nothing`, async () => {
      await using _process = await start();
      const code = await harness.code({ pattern });
      const row = request === null ? {} : { csr: request === "good" ? await csr() : Buffer.from("3000", "hex") };
      const { body } = await harness.register(code, { addresses }, row);
      expect(body.code).to.equal(problem);
      expect([await harness.used(code), await devices(), await certificates()]).to.deep.equal([0, 0, []]);
    });
  }

  it("lists as many certificates as a code has uses, whatever was signed", async () => {
    await using _process = await start();
    const code = await harness.code({ pattern: "cert" }, { uses: 2 });
    const requests = await Promise.all(Array.from({ length: 8 }, () => csr()));
    const outcomes = await Promise.all(requests.map((der) => harness.register(code, { addresses: [] }, { csr: der })));
    expect(outcomes.map(({ body }) => body.code ?? "registered").sort()).to.deep.equal([
      ...Array(6).fill("code_spent"),
      "registered",
      "registered",
    ]);
    const told = outcomes.flatMap(({ body }) => (body.certificate === undefined ? [] : [(body.certificate as Certificate).pem]));
    expect(new Set((await certificates()).map(({ pem }) => pem))).to.deep.equal(new Set(told));
    expect(told).to.have.length(2);
  });

  it("concludes those that come together together, one revision each, and refuses one of them alone", async () => {
    const [code, spent] = [await harness.code({ pattern: "cert" }, { uses: 3 }), await harness.code({ pattern: "cert" }, { uses: 1 })];
    const wrong = Buffer.from(await csr());
    wrong[wrong.length - 1] = (wrong.at(-1) ?? 0) ^ 1;
    const ders = [await csr(), wrong, await csr(), await csr(), await csr()];
    const ids = [];
    for (const [index, der] of ders.entries()) ids.push(await harness.submit(index < 3 ? code : spent, { addresses: [] }, { csr: der }));
    const { store, sizes } = countingTogether(harness.store);
    await using _process = await (Object.create(harness, { store: { value: store } }) as Harness).process([], authorities);
    const outcomes = await Promise.all(ids.map((id) => harness.outcome(id)));
    expect(outcomes.map(({ status, body }) => body.code ?? status)).to.deep.equal([201, "csr_signature", 201, 201, "code_spent"]);
    const [first = 0] = outcomes.map(({ revision }) => revision);
    expect(outcomes.map(({ revision }) => revision)).to.deep.equal([first, 0, first + 1, first + 2, 0]);
    expect(Math.max(...sizes)).to.be.greaterThan(1);
    const told = outcomes.flatMap(({ body }) => (body.certificate === undefined ? [] : [(body.certificate as Certificate).pem]));
    expect((await certificates()).map(({ pem }) => pem).sort()).to.deep.equal([...told].sort());
    expect((await changes(first - 1)).map(({ id }) => id)).to.deep.equal(told.map(fingerprintOf));
    expect([await harness.used(code), await harness.used(spent)]).to.deep.equal([2, 1]);
    expect(await verifyAudit(harness.store)).to.deep.include({ ok: true });
  });

  /** The device CA, with something that happens after it signed and before anything is stored. */
  const signingWhile = (happens: () => Promise<unknown>): DeviceCa => ({
    ...authorities.device,
    issue: async (...request) => {
      const issued = await authorities.device.issue(...request);
      await happens();
      return issued;
    },
  });

  it("keeps to itself what it signed when the code was withdrawn meanwhile", async () => {
    const code = await harness.code({ pattern: "cert" });
    const withdraw = () =>
      harness.store.write((db) => withdrawCode(db, harness.lead, { selector: code.selector, now: NOW, actor: "test" }));
    await using _process = await start(signingWhile(withdraw));
    const { body } = await harness.register(code, { addresses: [] }, { csr: await csr() });
    expect(body).to.include({ code: "code_withdrawn" }).and.not.have.property("certificate");
    expect([await certificates(), await devices()]).to.deep.equal([[], 0]);
  });

  it("signs anew when the profile's life changed meanwhile", async () => {
    const code = await harness.code({ pattern: "cert", certificateLifetimeMs: 5 * HOUR_MS });
    let signed = 0;
    const change = async () => {
      signed++;
      const settings = { pattern: "cert", certificateLifetimeMs: HOUR_MS } as const;
      await harness.store.write((db) => setProfile(db, harness.lead, { name: "test", settings, now: 1, actor: "test" }));
    };
    await using _process = await start(signingWhile(change));
    const { body } = await harness.register(code, { addresses: [] }, { csr: await csr() });
    expect([(body.certificate as Certificate).notAfter, signed]).to.deep.equal([NOW + HOUR_MS, 2]);
    expect(await certificates()).to.have.length(1);
  });

  it("stores nothing of a CA that the agents were not told of", async () => {
    await using _process = await harness.process([], { ...authorities, all: [] });
    const code = await harness.code({ pattern: "cert" });
    const { status, body } = await harness.register(code, { addresses: [] }, { csr: await csr() });
    expect([status, body.code, await harness.used(code)]).to.deep.equal([500, "process_failed", 0]);
    expect(await harness.rows((db) => trustBody(db, "ca", authorities.device.id))).to.equal(null);
  });

  it("refuses while there is no CA, and spends nothing", async () => {
    await using _process = await start(null);
    const code = await harness.code({ pattern: "cert" });
    const { status, body } = await harness.register(code, { addresses: [] }, { csr: await csr() });
    expect([status, body.code, await harness.used(code)]).to.deep.equal([503, "ca_missing", 0]);
  });
});
