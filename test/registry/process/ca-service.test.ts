import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { systemClock } from "../../../lib/clock.ts";
import { type Authorities, openAuthorities } from "../../../registry/ca/authorities.ts";
import { awsParts } from "../../../registry/ca/aws/api.ts";
import { Pca } from "../../../registry/ca/aws/pca.ts";
import { pcaKeys } from "../../../registry/ca/aws/pca-keys.ts";
import { makePki } from "../../../registry/ca/files.ts";
import { trustAlarms } from "../../../registry/process/ca-alarms.ts";
import { revokeListed } from "../../../registry/process/listed-certificates.ts";
import { readCrlDer, readCrlStates } from "../../../registry/store/crls.ts";
import { all } from "../../../registry/store/store.ts";
import { AwsDouble } from "../../aws/double.ts";
import { FakePca, type PrivateCa } from "../../aws/pca.ts";
import { csr } from "./authorities.ts";
import { Harness } from "./harness.ts";

const PATH = "/crl/devices.crl";
const MINUTE_MS = 60_000;

describe("Process with a device CA that is a service", () => {
  let harness: Harness;
  let double: AwsDouble;
  let service: FakePca;
  let ca: PrivateCa;
  let authorities: Authorities;
  let folder: string;

  beforeEach(async () => {
    harness = await Harness.open();
    harness.monotonic = 0;
    service = new FakePca();
    double = await AwsDouble.start(service);
    ca = await service.create("Example devices");
    folder = mkdtempSync(join(tmpdir(), "entityos-service-"));
    const parts = awsParts(double.environment, systemClock);
    const keys = pcaKeys((name) => new Pca(parts, name, double.endpoint), [{ arn: ca.arn, list: double.endpoint + PATH }]);
    await makePki(folder, Date.now(), "P-256", keys);
    authorities = openAuthorities(folder, "https://register.example", keys);
  });
  afterEach(async () => {
    await double[Symbol.asyncDispose]();
    await harness[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const list = async () => {
    const states = await harness.rows(readCrlStates);
    return states.find((state) => state.ca.startsWith("device-"));
  };
  const write = async (now: number) => double.objects.set(PATH, await service.list(ca, now));
  const enrol = async () => {
    const { body } = await harness.register(await harness.code({ pattern: "cert" }), { addresses: [] }, { csr: await csr() });
    return body;
  };
  const looked = () =>
    new Promise<void>((resolve) => {
      double.arrived = async (operation) => {
        if (operation === `GET ${PATH}`) resolve();
      };
    });

  it("has it certify, tells it of revocations, and gives its list to the gates when it has written one", async () => {
    const begun = Date.now();
    await write(begun);
    await using _process = await harness.process([], authorities);
    const { device } = await enrol();
    const [row] = await harness.rows((db) =>
      all(db.selectFrom("certificates").select(["fingerprint", "serial", "issuer"]).where("device", "=", String(device))),
    );
    expect(row?.issuer).to.equal("Example devices");
    const { fingerprint = "", serial = "" } = row ?? {};
    const { lead, store } = harness;
    const revoke = { fingerprint, reason: "keyCompromise" as const, now: Date.now(), actor: "test" };
    await store.write((db) => revokeListed(db, lead, revoke), ["head", "revocation"]);
    await new Promise<void>((resolve) => {
      const look = () => {
        if (ca.revoked.has(serial)) resolve();
        else setImmediate(look);
      };
      look();
    });
    expect([...ca.revoked]).to.deep.equal([[serial, "keyCompromise"]]);
    expect((await list())?.number).to.equal(begun);
    // The gates' map ends it at once; the list follows when the service wrote it.
    await write(begun + 1);
    harness.monotonic = MINUTE_MS + 1;
    await harness.until(async () => (await list())?.number === begun + 1);
    const der = await harness.rows((db) => readCrlDer(db, { ca: authorities.device?.id ?? "" }));
    expect(Buffer.from(der ?? []).equals(await readObject())).to.equal(true);
    expect(device).to.be.a("string");
  });
  const readObject = async () => double.objects.get(PATH) ?? Buffer.alloc(0);

  it("tells no gate of the CA before it has a list, and says so", async () => {
    await using _process = await harness.process([], authorities);
    const told = async () => {
      const rows = await harness.rows((db) => all(db.selectFrom("authorities").select(["ca", "told"])));
      return rows.filter((row) => row.ca.startsWith("device-")).map((row) => row.told);
    };
    expect(await told()).to.deep.equal([null]);
    const alarms = await harness.rows((db) => trustAlarms(db, { authorities: authorities.all, listeners: [], now: Date.now() }));
    expect(alarms.map(({ alarm, subject }) => [alarm, subject])).to.deep.include(["crl_missing", authorities.device?.id]);
    await write(Date.now());
    harness.monotonic = MINUTE_MS + 1;
    await harness.until(async () => (await told())[0] !== null);
  });

  it("takes no list that is older than what stands, and goes on while the service is away", async () => {
    const begun = Date.now();
    await write(begun);
    await using _process = await harness.process([], authorities);
    await write(begun - 1);
    const again = looked();
    harness.monotonic = MINUTE_MS + 1;
    await again;
    double.standing = { kind: "cut" };
    harness.monotonic = 2 * MINUTE_MS + 2;
    expect((await harness.register(await harness.code())).status).to.equal(201);
    expect((await list())?.number).to.equal(begun);
  });
});
