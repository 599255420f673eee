import { expect } from "chai";
import { silentLog } from "../../../lib/log.ts";
import { type ListenerFact, trustAlarms } from "../../../registry/process/ca-alarms.ts";
import { CRL_LIFE_MS, CrlMaker } from "../../../registry/process/crl-maker.ts";
import { testAuthorities } from "./authorities.ts";
import { Harness } from "./harness.ts";

const START = Date.UTC(2026, 10, 24, 12, 0, 0);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

describe("alarms about trust", () => {
  it("tell of lists that are missing, not renewed and over, of CAs and of listeners near their end, in time", async () => {
    await using harness = await Harness.open();
    harness.now = START;
    const { all } = await testAuthorities(START);
    const [, , device] = all;
    if (device === undefined) throw new Error("no device CA");
    const told = async (listeners: ListenerFact[] = []) => {
      const now = harness.clock.now();
      const alarms = await harness.rows((db) => trustAlarms(db, { authorities: [device], listeners, now }));
      return alarms.map(({ alarm, subject, at }) => `${alarm} ${subject} ${at - START}`);
    };
    expect(await told()).to.deep.equal([`crl_missing ${device.id} 0`]);
    const { store, lead, clock } = harness;
    await new CrlMaker({ store, lead, authorities: () => [device], clock, log: silentLog }).turn(1);
    expect(await told()).to.deep.equal([]);
    harness.now = START + CRL_LIFE_MS / 2 + HOUR_MS - 60_000;
    expect(await told()).to.deep.equal([]);
    harness.now = START + CRL_LIFE_MS / 2 + HOUR_MS;
    expect(await told()).to.deep.equal([`crl_old ${device.id} ${CRL_LIFE_MS}`]);
    harness.now = START + CRL_LIFE_MS;
    expect(await told()).to.deep.equal([`crl_expired ${device.id} ${CRL_LIFE_MS}`]);
    const end = CRL_LIFE_MS + 7 * DAY_MS;
    const listeners: ListenerFact[] = [
      { role: "register", notBefore: START - 90 * DAY_MS, notAfter: START + end },
      { role: "control", notBefore: START - 90 * DAY_MS, notAfter: START + end - 1 },
    ];
    expect((await told(listeners)).slice(1)).to.deep.equal([`server_certificate_ends control ${end - 1}`]);
    harness.now = device.notAfter - 365 * DAY_MS + 1;
    expect((await told()).slice(1)).to.deep.equal([`ca_ends ${device.id} ${device.notAfter - START}`]);
  });
});
