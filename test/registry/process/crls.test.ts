import { createHash, X509Certificate } from "node:crypto";
import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { encodePem } from "../../../lib/pem.ts";
import type { Authorities } from "../../../registry/ca/authorities.ts";
import { type CrlFacts, readCrlFacts } from "../../../registry/ca/crl.ts";
import { recordCertificate, revokeCertificate } from "../../../registry/ca/ledger.ts";
import { CRL_LIFE_MS, CRL_MARGIN_MS, CrlMaker } from "../../../registry/process/crl-maker.ts";
import { revokeDevice } from "../../../registry/process/devices.ts";
import { revokeListed } from "../../../registry/process/listed-certificates.ts";
import { readCrlDer, readCrlState } from "../../../registry/store/crls.ts";
import { readChanges, readHead } from "../../../registry/store/queries.ts";
import { all } from "../../../registry/store/store.ts";
import { opensslFolder } from "../ca/openssl.ts";
import { csr, testAuthorities } from "./authorities.ts";
import { Harness, HOUR_MS } from "./harness.ts";

const START = Date.UTC(2026, 10, 24, 12, 0, 0);

interface Told extends CrlFacts {
  readonly sha256: string;
  readonly bytes: number;
  readonly der: string | null;
}

describe("the lists of revoked certificates", () => {
  let harness: Harness;
  let authorities: Authorities;
  let maker: CrlMaker;
  let device: string;
  before(async () => {
    authorities = await testAuthorities(START);
    device = authorities.device?.id ?? "";
  });
  beforeEach(async () => {
    harness = await Harness.open();
    harness.now = START;
    harness.monotonic = 0;
    maker = makerOf(authorities);
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const makerOf = ({ all }: Pick<Authorities, "all">) =>
    new CrlMaker({ store: harness.store, lead: harness.lead, authorities: () => all, clock: harness.clock, log: silentLog });
  /** Until nothing is due that may be made. */
  const turns = async (of = maker) => {
    while ((await of.turn(60_000)) === 0);
  };
  const told = async (): Promise<readonly [ca: string, list: Told][]> =>
    (await harness.rows((db) => readChanges(db, { after: 0, limit: 1_000 }))).flatMap(({ body }) => {
      const change = JSON.parse(body) as { target: string; id: string; body: string };
      return change.target === "crl" ? [[change.id, JSON.parse(change.body) as Told] as const] : [];
    });
  const state = async (ca = device) => {
    const found = await harness.rows((db) => readCrlState(db, { ca }));
    if (found === undefined) throw new Error(`no list of ${ca}`);
    return found;
  };
  const der = async (ca = device) => Buffer.from((await harness.rows((db) => readCrlDer(db, { ca }))) ?? []);
  /** Serials and reasons, as openssl reads them. */
  async function entries(ca = device): Promise<string[]> {
    using folder = opensslFolder();
    const text = folder.run("crl", "-inform", "DER", "-in", folder.write("l.der", await der(ca)), "-noout", "-text").toString();
    return [...text.matchAll(/Serial Number: ([0-9A-F]+)\n.*\n(?: +CRL entry extensions:\n.*\n +(.*)\n)?/g)].map(
      ([, serial = "", reason = "none"]) => `${serial.toLowerCase()} ${reason}`,
    );
  }
  /** Listed certificates of the device CA that last that long. */
  async function issue(count: number, lifeMs = HOUR_MS): Promise<readonly { serial: string; fingerprint: string }[]> {
    const { device: ca } = authorities;
    if (ca === null) throw new Error("no device CA");
    const spki = new X509Certificate(ca.chain).publicKey.export({ type: "spki", format: "der" });
    const request = { kind: "P-256" as const, spki, der: Buffer.alloc(0) };
    const issued = await Promise.all(Array.from({ length: count }, () => ca.issue(request, "d", lifeMs, harness.clock.now())));
    await Promise.all(issued.map((one) => harness.store.write((db) => recordCertificate(db, one))));
    return issued;
  }
  const revoke = (fingerprint: string, reason: "keyCompromise" | "superseded" | "unspecified" = "unspecified") =>
    harness.store.write((db) => revokeCertificate(db, fingerprint, harness.clock.now(), reason));

  it("are made at the start for every CA, and told to the gates before the CA itself", async () => {
    await using _process = await harness.process([], authorities);
    const [root, infrastructure] = authorities.all;
    const order = (await harness.rows((db) => readChanges(db, { after: 0, limit: 100 }))).map(({ body }) => {
      const { target, id } = JSON.parse(body) as { target: string; id: string };
      return `${target} ${id}`;
    });
    expect(order).to.deep.equal([`crl ${root?.id}`, `crl ${device}`, `ca ${root?.id}`, `ca ${device}`]);
    expect((await state(infrastructure?.id)).number).to.be.greaterThan(0);
    for (const [ca, list] of await told()) {
      const bytes = Buffer.from(list.der ?? "", "base64");
      expect(createHash("sha256").update(bytes).digest("hex")).to.equal(list.sha256);
      expect(bytes.equals(await der(ca))).to.equal(true);
      const { number, thisUpdate, nextUpdate } = list;
      expect([readCrlFacts(bytes), bytes.length]).to.deep.equal([{ number, thisUpdate, nextUpdate }, list.bytes]);
      expect(thisUpdate).to.equal(START - 60_000);
    }
    expect((await told())[1]?.[1].nextUpdate).to.equal(START + CRL_LIFE_MS);
  });

  it("name a revoked device's certificates, so that openssl refuses them", async () => {
    harness.now = null;
    harness.monotonic = null;
    const fresh = await testAuthorities();
    await using _process = await harness.process([], fresh);
    const code = await harness.code({ pattern: "cert" }, { uses: 2 });
    const [bad, good] = [
      await harness.register(code, { addresses: [] }, { csr: await csr() }),
      await harness.register(code, { addresses: [] }, { csr: await csr() }),
    ];
    const before = (await state(fresh.device.id)).number;
    const input = { device: String(bad.body.device), now: Date.now(), actor: "test" };
    await harness.store.write((db) => revokeDevice(db, harness.lead, input), ["head", "revocation"]);
    await harness.until(async () => (await state(fresh.device.id)).number > before);
    using folder = opensslFolder();
    folder.write("root.pem", fresh.all[0]?.certificate ?? "");
    folder.write("ca.pem", fresh.device.chain);
    for (const ca of [fresh.all[0]?.id ?? "", fresh.device.id]) folder.write(`${ca}.pem`, encodePem("X509 CRL", await der(ca)));
    const lists = [fresh.all[0]?.id ?? "", fresh.device.id].flatMap((ca) => ["-CRLfile", `${ca}.pem`]);
    const verify = ({ body }: typeof bad) => {
      const file = folder.write("own.pem", (body.certificate as { pem: string }).pem);
      return folder
        .run("verify", "-x509_strict", "-crl_check_all", "-CAfile", "root.pem", "-untrusted", "ca.pem", ...lists, file)
        .toString();
    };
    expect(verify(good)).to.match(/: OK\n$/);
    expect(() => verify(bad)).to.throw(/error 23 at 0 depth/);
    expect((await entries(fresh.device.id)).map((entry) => entry.split(" ").slice(1).join(" "))).to.deep.equal(["Privilege Withdrawn"]);
  });

  it("share one made a second later, however many are revoked meanwhile", async () => {
    await turns();
    const issued = await issue(30);
    const first = (await state()).number;
    for (const { fingerprint } of issued) {
      await revoke(fingerprint);
      await turns();
    }
    expect([(await state()).number, await entries()]).to.deep.equal([first, []]);
    harness.monotonic = 1_000;
    await turns();
    expect((await entries()).map((entry) => entry.split(" ")[0])).to.deep.equal(
      issued.map(({ serial }) => serial.padStart(serial.length + (serial.length % 2), "0")).sort(),
    );
    expect((await state()).number).to.equal(first + 1);
  });

  it("are renewed at half of their life, and not before", async () => {
    await turns();
    const { number, this_update, next_update } = await state();
    harness.now = (this_update + next_update) / 2 - 1;
    harness.monotonic = HOUR_MS;
    await turns();
    expect((await state()).number).to.equal(number);
    harness.now += 1;
    await turns();
    const next = await state();
    expect(next.number).to.equal(Math.floor(harness.now / 1_000));
    expect(next.next_update).to.equal(Math.floor((harness.now + CRL_LIFE_MS) / 1_000) * 1_000);
  });

  it("never get a number below the last, whatever the clock says, and are made anew when it went back", async () => {
    await turns();
    const { number } = await state();
    harness.now = START - HOUR_MS;
    harness.monotonic = HOUR_MS;
    await turns();
    const next = await state();
    expect([next.number, next.this_update]).to.deep.equal([number + 1, START - HOUR_MS - 60_000]);
  });

  it("let a certificate go a day after its own end", async () => {
    const [one] = await issue(1, HOUR_MS);
    await revoke(one?.fingerprint ?? "", "keyCompromise");
    await turns();
    expect(await entries()).to.deep.equal([`${one?.serial} Key Compromise`]);
    const steps = [HOUR_MS + CRL_MARGIN_MS - 1_000, HOUR_MS + CRL_MARGIN_MS];
    const left: number[] = [];
    for (const [index, step] of steps.entries()) {
      harness.now = START + step;
      harness.monotonic = (index + 1) * HOUR_MS;
      const [other] = await issue(1, 30 * 24 * HOUR_MS);
      await revoke(other?.fingerprint ?? "");
      await turns();
      left.push((await entries()).filter((entry) => entry.startsWith(one?.serial ?? "")).length);
    }
    expect(left).to.deep.equal([1, 0]);
  });

  it("of a CA whose key is away are those that came with it", async () => {
    const [root] = authorities.all;
    if (root === undefined || root.kept === null) throw new Error("no root");
    const away = { ...root, issuer: null };
    await turns(makerOf({ all: [away] }));
    expect((await state(root.id)).number).to.equal(root.kept.number);
    harness.now = START + 364 * 24 * HOUR_MS;
    await turns(makerOf({ all: [away] }));
    expect((await state(root.id)).number).to.equal(root.kept.number);
    const newer = { ...root.kept, number: root.kept.number + 5 };
    await turns(makerOf({ all: [{ ...away, kept: newer }] }));
    expect((await state(root.id)).number).to.equal(newer.number);
    await turns(makerOf({ all: [away] }));
    expect((await state(root.id)).number).to.equal(newer.number);
  });

  it("longer than 256 KiB are told by their digest alone", async () => {
    const [one] = await issue(1);
    if (one === undefined) throw new Error("none");
    const row = (
      await harness.rows((db) => all(db.selectFrom("certificates").selectAll().where("issuer", "not like", "entityOS root %")))
    )[0];
    if (row === undefined) throw new Error("none");
    await harness.store.write(function* (db) {
      for (let index = 0; index < 9_000; index++) {
        const serial = (0x10000 + index).toString(16).padStart(32, "7");
        yield* all(db.insertInto("certificates").values({ ...row, serial, fingerprint: serial, state: "revoked", revoked_at: START }));
      }
    });
    await turns();
    const [, list] = (await told()).find(([ca]) => ca === device) ?? [];
    expect([list?.der, list?.bytes, list?.sha256]).to.deep.equal([null, (await der()).length, (await state()).sha256]);
    expect(list?.bytes).to.be.greaterThan(256 * 1_024);
    expect(await entries()).to.have.length(9_000);
  });

  it("leave the change log when it holds too much of them: who is behind gets a snapshot", async () => {
    await turns();
    const big = JSON.stringify([
      [1, 40 << 20],
      [2, 40 << 20],
    ]);
    await harness.store.write((db) => all(db.updateTable("crls").set({ logged: big }).where("ca", "=", device)));
    const [one] = await issue(1);
    await revoke(one?.fingerprint ?? "");
    harness.monotonic = HOUR_MS;
    await turns();
    const kept = await harness.rows((db) => all(db.selectFrom("changes").select("revision")));
    expect(kept.map(({ revision }) => revision)).to.deep.equal([2, 3]);
  });

  it("name what an operator revokes by itself, and the gates forget it at once", async () => {
    await using _process = await harness.process([], authorities);
    const code = await harness.code({ pattern: "either" });
    const { body } = await harness.register(code, {}, { csr: await csr() });
    const [listed] = await harness.rows((db) =>
      all(db.selectFrom("certificates").selectAll().where("issuer", "not like", "entityOS root %")),
    );
    const fingerprint = listed?.fingerprint ?? "";
    const input = { fingerprint, reason: "keyCompromise", now: START, actor: "operator:a" } as const;
    const ended = await harness.store.write((db) => revokeListed(db, harness.lead, input), ["head", "revocation"]);
    expect(ended.certificate).to.include({ fingerprint, state: "revoked", reason: "keyCompromise", revokedAt: START, device: body.device });
    const changes = await harness.rows((db) => readChanges(db, { after: ended.revision - 1, limit: 1 }));
    expect(changes[0]?.body).to.equal(`{"kind":"trust.remove","target":"certificate","id":"${fingerprint}"}`);
    expect(await harness.rules()).to.have.length(1);
    const again = await harness.store.write((db) => revokeListed(db, harness.lead, { ...input, reason: "unspecified" }));
    expect(again.certificate.reason).to.equal("keyCompromise");
    const audited = await harness.rows((db) => all(db.selectFrom("audit").select("action").where("action", "=", "certificate.revoked")));
    expect(audited).to.have.length(1);
  });

  it("name what another took the place of, by itself or with its device: by X.509 it is good until its own end", async () => {
    harness.monotonic = null;
    await using _process = await harness.process([], authorities);
    const code = await harness.code({ pattern: "cert", certificateLifetimeMs: 24 * HOUR_MS });
    const owner = await harness.device(code, { addresses: [] }, { csr: await csr() });
    for (let index = 1; index <= 5; index++) {
      harness.now = START + index * 1_000;
      await harness.own(owner, "renew", { addresses: [] }, { csr: await csr() });
    }
    const of = (state: "live" | "superseded") =>
      harness.rows((db) => {
        const own = db.selectFrom("certificates").select(["fingerprint", "serial"]).where("device", "=", owner.id);
        return all(own.where("state", "=", state));
      });
    const [first, second] = await of("superseded");
    const input = { fingerprint: first?.fingerprint ?? "", reason: "keyCompromise", now: harness.now ?? 0, actor: "operator:a" } as const;
    const before = await told();
    const { revision } = await harness.rows(readHead);
    const ended = await harness.store.write((db) => revokeListed(db, harness.lead, input), ["head", "revocation"]);
    expect(ended.certificate).to.include({ state: "revoked", reason: "keyCompromise" });
    // No gate knows it any more: there is nothing to tell them.
    expect(ended.revision).to.equal(revision);
    await harness.until(async () => (await told()).length > before.length);
    expect(await entries()).to.deep.equal([`${first?.serial} Key Compromise`]);
    const live = await of("live");
    await harness.store.write(
      (db) => revokeDevice(db, harness.lead, { device: owner.id, now: harness.now ?? 0, actor: "operator:a" }),
      ["head", "revocation"],
    );
    const changes = (await harness.rows((db) => readChanges(db, { after: revision, limit: 10 }))).map(({ body }) => body);
    expect(changes.filter((body) => body.includes("remove")).sort()).to.deep.equal(
      live.map(({ fingerprint }) => `{"kind":"trust.remove","target":"certificate","id":"${fingerprint}"}`).sort(),
    );
    harness.now = START + 10_000;
    await harness.until(async () => (await entries()).length === 6);
    expect((await entries()).map((line) => line.split(" ")[0]).sort()).to.deep.equal(
      [first, second, ...live].map((one) => one?.serial).sort(),
    );
  });
});
