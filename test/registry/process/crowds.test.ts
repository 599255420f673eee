import { expect } from "chai";
import { revokeDevice, showDevice } from "../../../registry/process/devices.ts";
import { listGrants } from "../../../registry/process/grants.ts";
import { all } from "../../../registry/store/store.ts";
import { MemoryLog } from "../admin/control.ts";
import { Harness, type TestCode } from "./harness.ts";

describe("an address that admits many devices", () => {
  let harness: Harness;
  let log: MemoryLog;
  let code: TestCode;
  beforeEach(async () => {
    harness = await Harness.open();
    harness.devicesPerAddress = 3;
    log = new MemoryLog();
    code = await harness.code({}, { uses: 99 });
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  const crowded = async () =>
    (await harness.rows((db) => all(db.selectFrom("crowded").select(["lane", "prefix"])))).map((row) => `${row.lane} ${row.prefix}`);
  /** Alarm lines, once Process has told of all that there is to tell. */
  const alarms = async () => {
    for (;;) {
      const untold = await harness.rows((db) => all(db.selectFrom("crowded").select("prefix").where("told", "=", 0)));
      if (untold.length === 0) return log.lines.filter((line) => line.includes("crowded_address")).length;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const device = async () => String((await harness.register(code)).body.device);
  const revoke = (id: string) =>
    harness.store.write((db) => revokeDevice(db, harness.lead, { device: id, now: harness.clock.now(), actor: "test" }), ["head"]);

  it("is flagged at the number that the setting says, in the log once, and its grants say so; nobody is refused", async () => {
    await using _process = await harness.process([], undefined, log);
    const [one] = [await device(), await device()];
    await harness.register(code, { addresses: ["9.9.9.9"] });
    expect(await crowded()).to.deep.equal([]);
    for (let n = 0; n < 5; n++) await device();
    expect([await crowded(), await alarms()]).to.deep.equal([["ip 8.8.4.4/32"], 1]);
    const { items } = await harness.rows((db) => listGrants(db, { after: null, limit: 100 }));
    expect(items.map(({ prefix, crowded }) => `${prefix} ${crowded}`)).to.deep.equal([
      "8.8.4.4/32 true",
      "8.8.4.4/32 true",
      "9.9.9.9/32 false",
      ...Array(5).fill("8.8.4.4/32 true"),
    ]);
    const shown = await harness.rows((db) => showDevice(db, { device: one }));
    expect(shown.grants.map((grant) => grant.crowded)).to.deep.equal([true]);
  });

  it("is flagged no more when the devices are fewer again, and told of again when they are many again", async () => {
    await using _process = await harness.process([], undefined, log);
    const devices = [await device(), await device(), await device()];
    expect(await alarms()).to.equal(1);
    await revoke(devices[0] ?? "");
    expect(await crowded()).to.deep.equal([]);
    await device();
    expect([await crowded(), await alarms()]).to.deep.equal([["ip 8.8.4.4/32"], 2]);
    const all = (await harness.rows((db) => listGrants(db, { after: null, limit: 9 }))).items;
    for (const grant of all) await revoke(grant.device);
    expect([await crowded(), await harness.rules()]).to.deep.equal([[], []]);
  });

  it("is counted anew when the setting changes, and not when the registry merely starts again", async () => {
    for (const [limit, expected] of [
      [3, ["ip 8.8.4.4/32"]],
      [3, ["ip 8.8.4.4/32"]],
      [4, []],
      [2, ["ip 8.8.4.4/32"]],
    ] as const) {
      harness.devicesPerAddress = limit;
      await using _process = await harness.process([], undefined, log);
      if ((await harness.rules()).length === 0) for (let n = 0; n < 3; n++) await device();
      expect(await crowded()).to.deep.equal(expected);
      await alarms();
    }
    expect(await alarms()).to.equal(2);
  });
});
